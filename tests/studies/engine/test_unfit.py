"""A machine that cannot do runs is no failure of a trial."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from seqclf_core.events import Started
from studies.engine.executors import Message, Unfit, WorkerDied
from studies.engine.inline import Inline
from studies.engine.processes import Processes
from studies.engine.scheduler import DEATHS
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler, outcomes, run_all


def test_workers_without_data_end_the_study_and_fail_no_trial(
    open_scheduler: OpenScheduler, study: Study, reviews_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "reviews"
    shutil.copytree(reviews_folder, moved)
    study = study.with_base(study.base.override({"data.source": str(moved)}), frozenset())
    owner = open_scheduler(study, total=3, executor=Processes(2, tmp_path / "workers.log"))
    shutil.move(moved, tmp_path / "elsewhere")
    try:
        with pytest.raises(UserError, match=r"No worker can do the study's runs here: .*reviews"):
            run_all(owner)
    finally:
        owner.executor.close()
    assert set(outcomes(owner)) == {"RUNNING"}
    shutil.move(tmp_path / "elsewhere", moved)
    owner = open_scheduler(study, total=3)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 3


@dataclass
class Fickle(Inline):
    """A slot that is lost with its machine, again and again, before a run starts; then it works."""

    message: Message
    times: int

    def __post_init__(self) -> None:
        super().__init__()

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        if self.times:
            self.times -= 1
            assert self._job is not None
            yield self._job.key, self.message
        else:
            yield from super().messages(timeout)


@pytest.mark.parametrize("message", [Unfit("no room"), WorkerDied("its node is gone", lost=True)])
def test_a_lost_machine_does_not_count_against_a_trial(open_scheduler: OpenScheduler, message: Message) -> None:
    owner = open_scheduler(total=1, executor=Fickle(message, DEATHS + 2))
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"]


class Unlike(Inline):
    """A slot whose second run starts on something else than the first one did."""

    def __init__(self, change: dict[str, object]) -> None:
        super().__init__()
        self.change, self.runs = change, 0

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        for key, message in super().messages(timeout):
            if isinstance(message, Started):
                self.runs += 1
                if self.runs == 2:
                    message = message.model_copy(update=self.change)
            yield key, message


@pytest.mark.parametrize("change", [{"precision": "fp64"}, {"digest": "f" * 64}])
def test_a_run_on_other_data_or_in_another_precision_is_not_recorded(
    open_scheduler: OpenScheduler, study: Study, change: dict[str, object]
) -> None:
    if "digest" in change:
        summary = load_corpus(study.base.data, open_scheduler().paths.cache).summary
        change = {"data": summary.model_copy(update=change)}
    owner = open_scheduler(total=2, executor=Unlike(change))
    with pytest.raises(UserError, match=r"cannot do the study's runs: its data have digest f|computes in fp64"):
        run_all(owner)
    assert outcomes(owner) == ["COMPLETE", "RUNNING"]
