"""The whole command where files may not grow: a line says so, wherever it is met; then the study goes on."""

import re
from pathlib import Path

import pytest

from tests.studies.engine.study_command import Command, children_in_mlflow, trials

CACHE, DATABASE, CHECKPOINT = 512, 30_000, 300_000
"""Sizes of a largest file at which each of these cannot be written."""


@pytest.mark.timeout(600)
def test_a_full_disk_is_told_in_a_line_and_the_study_opens_again(reviews_folder: Path, tmp_path: Path) -> None:
    command = Command(reviews_folder, tmp_path / "runs", 2, ["--workers", "1", "--train.epochs", "1"], width=64)
    said = []
    for size in (CACHE, DATABASE, CHECKPOINT):
        command.start(largest_file=size)
        code, output = command.end()
        assert code == 2, output
        assert "Traceback" not in output
        [line] = re.findall(r"^error: .*", output, re.MULTILINE)
        assert re.search("[Mm]ak(e|ing) room", line)
        said.append(line)
    assert "Optuna's database" in said[1]
    assert "nothing that was recorded is lost" in said[2]

    command.start()
    code, output = command.end()
    assert code == 0, output
    assert [trial.state.name for trial in trials(command.runs)] == ["COMPLETE"] * 2
    assert set(children_in_mlflow(command.runs)) == {0, 1}
