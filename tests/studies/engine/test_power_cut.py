"""A power cut at any moment: all that was acknowledged is whole, and the study goes on to its end."""

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.power.acknowledged import closed, missing
from tests.power.cut import cut_power, look
from tests.power.disk import Disk
from tests.studies.engine.study_command import Command, trials

TRIALS, LOOKS = 3, 6


@pytest.mark.timeout(300)
def test_what_was_acknowledged_is_on_the_disk_and_the_study_goes_on(reviews_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    disk = Disk.of(runs, tmp_path / "power")
    if disk is None:
        pytest.skip("needs Linux and a compiler for C")
    draw = random.Random(0)
    command = Command(reviews_folder, runs, TRIALS, ["--workers", "1", "--train.epochs", "1"])
    command.environment = disk.environment
    command.start()
    command.wait_for(lambda: bool(closed(runs)))
    lost = cut_power(command, disk, tmp_path / "left")
    assert closed(runs), "nothing was acknowledged: the test looked too early"
    command.start()
    for number in range(LOOKS):
        time.sleep(draw.uniform(0.1, 1))
        with suppress(psutil.NoSuchProcess):  # it has ended
            lost += look(command, disk, tmp_path / f"left-{number}", draw if number % 2 else None)
    code, output = command.end()
    assert code == 0, output
    disk.cut(tmp_path / "after")
    assert not [*lost, *missing(tmp_path / "after", closed(runs))]
    assert [trial.state.name for trial in trials(tmp_path / "after")] == ["COMPLETE"] * TRIALS


def test_what_was_not_asked_for_is_not_taken_for_kept(tmp_path: Path) -> None:
    """The recorder itself: else the test above could not fail."""
    disk = Disk.of(tmp_path / "runs", tmp_path / "power")
    if disk is None:
        pytest.skip("needs Linux and a compiler for C")
    script = """if True:
        import os
        def sync(path):
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.close(file)
        for name in ("whole", "empty", "unnamed", "grown"):
            open(name, "w").write(name)
        os.mkdir("folder")
        for name in ("whole", "unnamed", "grown"):
            sync(name)
        os.rename("unnamed", "later")
        os.rename("whole", "renamed")
        sync(".")
        open("grown", "a").write(" since")
        os.rename("later", "latest")
    """
    disk.root.mkdir()
    subprocess.run(
        [sys.executable, "-c", script], cwd=disk.root, env={**os.environ, **disk.environment}, check=True
    )
    disk.cut(tmp_path / "left")
    left = {path.name: path.read_text() if path.is_file() else None for path in (tmp_path / "left").iterdir()}
    assert left == {"renamed": "whole", "empty": "", "later": "unnamed", "grown": "grown", "folder": None}
