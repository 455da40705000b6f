"""While a study runs, a terminal shows a bar for each trial, and how long it will take."""

import re

import numpy as np

from studies.engine.inline import Inline
from studies.engine.progress import Display
from studies.engine.time_left import Workload


def test_a_terminal_shows_a_bar_for_each_trial_and_the_time_left(open_scheduler, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes an output a terminal
    monkeypatch.setenv("COLUMNS", "140")
    scheduler = open_scheduler(total=2, executor=Inline())
    with scheduler.recording(), Display(scheduler, Workload(np.full(300, 20))) as display:
        assert display._live
        going = True
        while going:
            display.refresh()
            display._live.refresh()  # by itself it draws four times a second
            going = scheduler.step()
    said = capsys.readouterr().out
    shown = re.findall(
        r"trial (\d{4})  ([█░]{20}) +(\d+) of (\d+) evaluations  (starting|val/accuracy [01]\.\d{4})", said
    )
    assert {trial for trial, *_ in shown} == {"0000", "0001"}
    for _, bar, reported, evaluations, _ in shown:
        assert bar.count("█") == round(20 * int(reported) / int(evaluations))
    assert "time left: known after the first evaluation" in said
    assert re.search(
        r"1 of 2 done \(0 pruned\) \| 1 running \| best val/accuracy [01]\.\d{4} \(trial 0\) \| about .* left",
        said,
    )
