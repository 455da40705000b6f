"""A study ends with what was found, where the page is, and three commands that are fit for its data."""

import re
from dataclasses import replace

from studies.engine.inline import Inline
from studies.engine.progress import card


def test_the_card_tells_scores_gain_time_page_and_three_commands(open_scheduler, tmp_path):
    scheduler = open_scheduler(total=2, executor=Inline(), runs=tmp_path / "my runs")
    with scheduler.recording():
        while scheduler.step():
            pass
    page = tmp_path / "my runs" / "index.html"
    page.touch()
    text = card(scheduler, 150.0, page)
    assert "complete: 2 trials, 2.5 min this time" in text
    assert re.search(r"best +val/accuracy [01]\.\d{4}, test/accuracy [01]\.\d{4} \(trial \d", text)
    assert re.search(r"gain +([+-]\d+\.\d\d points|none: the start itself)", text)
    assert page.as_uri() in text
    following = text.partition("  next ")[2].splitlines()
    runs = f"RUNS='{tmp_path}/my runs'"
    assert [line.split()[1] for line in following] == ["ui", "finalists", "champion"]
    assert all(line.endswith(runs) for line in following)

    scheduler.tags = {**scheduler.tags, "seqclf.data_scope": "synthetic"}  # which makes no champion
    assert "make champion" not in card(scheduler, 1.0, None)
    assert 'make predict NAME=test TEXT="A superb film."' in card(scheduler, 1.0, None)
    scheduler.study = replace(scheduler.study, fixed_trials=True)
    assert "make finalists" not in card(scheduler, 1.0, None)
