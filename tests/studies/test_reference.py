"""The command that a page of finalists prints gives the runs that it lacks; then it says what it could not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from experiments.tracking.sync import sync_once
from reports import frames
from reports.pages import build
from studies import finalists
from studies.commands.study import options_of, study_of
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler, run_all

OPTION = {"NAME": "--name", "DATA": "--data.source", "RUNS": "--runs"}
SEED = 135  # both blocks draw a rate at which two epochs teach something


def typed(command: str) -> list[str]:
    """Return the command line that ``make factors ...`` becomes."""
    make, target, *words = shlex.split(command)
    assert (make, target) == ("make", "factors")
    arguments = ["factors"]
    for name, value in (word.split("=", 1) for word in words):
        arguments += shlex.split(value) if name == "ARGS" else [OPTION[name], value]
    return arguments


def test_the_printed_command_cures_what_cannot_be_said(
    study: Study, tmp_path: Path, open_scheduler: OpenScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    read = {"train.epochs": 2, "data.max_length": 12, "data.keep": "head"}
    searched = study.with_base(study.base.override(read), frozenset())
    run_all(open_scheduler(searched, total=2, name="search"))
    again = finalists.build_study(
        finalists.Params(of="search", best=1, seeds=2), 0, f"sqlite:///{tmp_path / 'runs' / 'optuna.db'}"
    )
    there = {"data.source": study.base.data.source}
    again = again.with_base(again.base.override(there), frozenset(there))
    owner = open_scheduler(again, total=2, name="again")
    run_all(owner)

    def said() -> str:
        assert not sync_once(owner.paths.runs).unsent
        stores = frames.Stores.under(owner.paths.runs)
        return " ".join(build.page(stores, "again", frames.runs(stores, "again")).parts[0].answer.sentences)

    [command] = re.findall(r"cannot be said: .*?\((make factors .*?)\), and their predictions", said())
    assert f"DATA={study.base.data.source}" in command
    arguments = [*typed(command), "--blocks", "2"]
    module, options = options_of(arguments)
    reference = study_of(arguments, module, options, SEED, "")
    run_all(open_scheduler(reference, total=reference.total, name=options.name))
    assert "cannot be said" not in said()
    assert re.search(r"validation split (detected|is optimistic|is negative)", said())
