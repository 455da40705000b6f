"""What lets one scheduler serve many slots: few trials to look at, few transactions, answers between draws."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from seqclf_core.events import Progress
from studies.engine import view
from studies.engine.executors import Job, Message
from studies.engine.inline import Inline
from studies.engine.view import EndedTrials
from tests.studies.engine.stepping import OpenScheduler, outcomes, run_all


def trial(number: int, value: float | None) -> FrozenTrial:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    made = create_trial(state=state, value=value) if value is not None else create_trial(state=state)
    made.number = number
    return made


def test_a_sampler_sees_the_best_and_the_latest_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MOST", 6)
    values = [0.5, None, 0.9, 0.1, 0.9, 0.7, 0.2, 0.3, None, 0.4]
    ended = EndedTrials()
    for number in (3, 0, 1, 2, 5, 4):  # as they end, not as they were drawn
        ended.add(trial(number, values[number]))
    assert [each.number for each in ended.most_telling()] == [0, 1, 2, 3, 4, 5]
    for number in (9, 6, 8):
        ended.add(trial(number, values[number]))
    running = [trial(10, None), trial(7, None)]
    assert [each.number for each in ended.most_telling()] == [2, 4, 5, 6, 8, 9]
    assert [each.number for each in ended.most_telling(running)] == [2, 4, 5, 8, 9, 10]


def test_settings_and_evaluations_of_one_look_are_a_transaction(open_scheduler: OpenScheduler) -> None:
    owner = open_scheduler(total=2)
    statements: list[str] = []

    @event.listens_for(owner.optuna._storage._backend.engine, "before_cursor_execute")  # type: ignore[attr-defined]
    def count(connection: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with owner.recording():
        owner.step()
        [run] = owner.running.values()
        statements.clear()
        for evaluation in (1, 2, 3):
            metrics = {"val/accuracy": 0.5, "seconds": 1.0}
            known = Progress(evaluation=evaluation, step=evaluation, epoch=1.0, best=True, metrics=metrics)
            owner._report(run, known)
        assert statements == []
        owner.writes.flush()
        owner.writes.flush()
        assert sum(statement.startswith("BEGIN") for statement in statements) == 1
        owner.stopping = True
    frozen = optuna.load_study(study_name="test", storage=owner.paths.optuna_uri).trials[0]
    assert frozen.intermediate_values == {1: 0.5, 2: 0.5, 3: 0.5}
    assert len(frozen.params) == 2


class TwoInTurn:
    """Two slots, each a run in this process."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.slots = 2
        self.free, self.busy = [Inline(), Inline()], dict[str, Inline]()
        self.told: list[str] = []

    def start(self, job: Job) -> None:
        self.told.append(f"start {job.key}")
        self.busy[job.key] = self.free.pop()
        self.busy[job.key].start(job)

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        for key, slot in list(self.busy.items()):
            for _, message in slot.messages(timeout):
                self.told.append(f"message {key}")
                if slot._job is None:
                    self.free.append(self.busy.pop(key))
                yield key, message

    def answer(self, key: str, go: bool) -> None:
        self.busy[key].answer(key, go)

    def refuse(self, key: str, reason: str) -> None:
        raise AssertionError(reason)

    def kill(self, key: str) -> None:
        raise AssertionError(key)

    def close(self) -> None:
        pass


def test_a_run_that_waits_for_an_answer_gets_it_between_two_draws(open_scheduler: OpenScheduler) -> None:
    executor = TwoInTurn()
    owner = open_scheduler(executor=executor)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 4
    assert executor.told[:3] == ["start test/0000", "message test/0000", "start test/0001"]
