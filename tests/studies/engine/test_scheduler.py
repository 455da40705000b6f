"""One owner: exact totals, the same trials after any interruption, pruning that bites, failures that are told."""

import time
from dataclasses import replace
from itertools import count

import pytest
from optuna.pruners import MedianPruner, ThresholdPruner
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

from experiments.tracking.clock import Clock
from experiments.tracking.journal import Happened, read
from experiments.tracking.recorder import Recorder
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.events import Finished
from studies.engine.cleanup import KEPT_MODELS
from studies.engine.scheduler import Scheduler, StudyError
from studies.study import Planned, Study
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all, scores


def test_a_total_is_a_total(open_scheduler: OpenScheduler) -> None:
    run_all(open_scheduler(total=2))
    run_all(open_scheduler(total=2))
    owner = open_scheduler(total=5)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 5
    assert journals_agree(owner)
    assert owner.optuna.trials[0].params == {"train.lr": 0.02, "model.pooling": "last"}


@pytest.mark.parametrize("sampler", [lambda seed: TPESampler(seed=seed, n_startup_trials=2)])
def test_the_same_seed_gives_the_same_trials_even_when_resumed(
    open_scheduler: OpenScheduler, study: Study, sampler: object
) -> None:
    study = replace(study, sampler=sampler)  # type: ignore[arg-type]
    whole = open_scheduler(study, name="whole")
    run_all(whole)
    for steps in count():
        parts = open_scheduler(study, name="parts")
        run_all(parts, most=3 + steps % 4)  # as a kill after a few events: nothing is closed or told
        if len(parts.optuna.trials) == 4 and all(t.state.is_finished() for t in parts.optuna.trials):
            break
    assert scores(parts) == scores(whole)
    assert journals_agree(parts)


def test_a_study_that_goes_on_after_its_clock_was_set_back_goes_on_from_what_is_recorded(
    open_scheduler: OpenScheduler,
) -> None:
    decade = 10 * 365 * 86_400 * 10**9
    first = open_scheduler(total=2)
    first.clock = Clock(lambda: time.time_ns() + decade)
    run_all(first)
    second = open_scheduler(total=4)
    second.clock = Clock()
    run_all(second)
    [notice] = second.executor.notices
    assert "this computer's clock is behind" in notice
    times = [entry.time for number in range(4) for entry in read(second.paths.journal(f"test/{number:04d}"))]
    assert times == sorted(times)
    assert times[-1] - times[0] < 3_600_000


class Unplugged(BaseException):
    """Power is gone."""


@pytest.mark.parametrize("moment", ["ask", "tell", "report", "flush", "record", "finish", "close", "start"])
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    open_scheduler: OpenScheduler, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_scheduler(name="whole", total=3)
    run_all(whole)

    def power_cut(owner: Scheduler, after: int) -> None:
        """Let a named step happen ``after`` times, and then once more as the last thing that happens."""
        holder, name = {
            "ask": (owner, "_next_trial"),
            "tell": (owner.optuna, "tell"),
            "report": (owner, "_report"),
            "flush": (owner.writes, "flush"),
            "record": (Recorder, "record"),
            "finish": (Recorder, "record"),
            "close": (Recorder, "close"),
            "start": (owner.executor, "start"),
        }[moment]
        real, calls = getattr(holder, name), count()

        def last_act(*args: object, **kwargs: object) -> object:
            result = real(*args, **kwargs)
            if moment == "finish" and not isinstance(args[-1], Finished):
                return result  # of a trial that goes on: "record" is for these
            if next(calls) == after:
                raise Unplugged
            return result

        monkeypatch.setattr(holder, name, last_act)

    for after in (0, 1):
        owner = open_scheduler(name="cut", total=3)
        with monkeypatch.context():
            power_cut(owner, after)
            with pytest.raises(Unplugged):
                run_all(owner)
        monkeypatch.undo()
    owner = open_scheduler(name="cut", total=3)
    run_all(owner)
    assert scores(owner) == scores(whole)
    assert journals_agree(owner)


def test_a_bad_trial_with_another_batch_size_is_pruned(
    open_scheduler: OpenScheduler, study: Study, small: RunConfig
) -> None:
    def sample(trial: Trial) -> None:
        trial.suggest_float("train.lr", 1e-7, 5e-2, log=True)
        trial.suggest_int("train.batch_size", 4, 24)

    good = [{"train.lr": 0.02, "train.batch_size": size} for size in (8, 9, 12)]
    bad = {"train.lr": 1e-7, "train.batch_size": 20}
    planned = tuple(Planned(str(at), settings) for at, settings in enumerate((*good, bad)))
    pruner = MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = replace(study, base=small, sample=sample, planned=planned, pruner=pruner)
    owner = open_scheduler(study)
    run_all(owner)
    *_, last = owner.optuna.trials
    assert last.state == TrialState.PRUNED
    assert max(last.intermediate_values) == 2
    assert journals_agree(owner)
    assert not owner.paths.work("test/0003").exists()


def test_no_trial_is_pruned_at_its_last_evaluation(
    open_scheduler: OpenScheduler, study: Study, small: RunConfig
) -> None:
    """All of its work is done by then: a pruner that stops everything there stops nothing."""
    last = small.train.epochs * small.train.evals_per_epoch
    stopped = {}
    for first in (last - 1, last):
        pruner = ThresholdPruner(lower=2.0, n_warmup_steps=first)  # no accuracy is as high as that
        owner = open_scheduler(replace(study, base=small, pruner=pruner), total=2, name=f"from{first}")
        run_all(owner)
        stopped[first] = [trial.state for trial in owner.optuna.trials]
    assert stopped == {last - 1: [TrialState.PRUNED] * 2, last: [TrialState.COMPLETE] * 2}


def test_the_test_part_never_reaches_optuna(open_scheduler: OpenScheduler) -> None:
    owner = open_scheduler(total=2)
    run_all(owner)
    for trial in owner.optuna.trials:
        entries = read(owner.paths.journal(f"test/{trial.number:04d}"))
        finished = next(e.event for e in entries if isinstance(e, Happened) and isinstance(e.event, Finished))
        known = str([trial.params, trial.value, trial.intermediate_values, trial.user_attrs, trial.system_attrs])
        assert str(finished.metrics["test/loss"]) not in known
        assert trial.value == max(trial.intermediate_values.values()) == finished.metrics["best/val_accuracy"]


def test_only_the_best_keep_their_weights(open_scheduler: OpenScheduler) -> None:
    owner = open_scheduler(total=KEPT_MODELS + 2)
    run_all(owner)
    kept = {t.number for t in owner.optuna.trials if (owner.paths.work(f"test/{t.number:04d}") / "model").exists()}
    ranked = sorted(owner.optuna.trials, key=lambda t: (-(t.value or 0), t.number))
    assert kept == {t.number for t in ranked[:KEPT_MODELS]}


def test_what_a_kill_left_half_written_is_removed_by_the_next_owner(open_scheduler: OpenScheduler) -> None:
    owner = open_scheduler(total=1)
    run_all(owner)
    folder = owner.paths.work("test/0000")
    before = sorted(folder.rglob("*"))
    (folder / ".checkpoint.safetensors.123").write_bytes(b"half")
    (folder / ".model.123").mkdir()
    (folder / "predictions" / ".val.parquet").write_bytes(b"half")
    run_all(open_scheduler(total=1))
    assert sorted(folder.rglob("*")) == before


def test_journals_of_a_lost_database_never_mix_with_new_trials(
    open_scheduler: OpenScheduler, study: Study
) -> None:
    owner = open_scheduler(total=1)
    run_all(owner)
    before = read(owner.paths.journal("test/0000"))
    for path in owner.paths.runs.glob("optuna.db*"):
        path.unlink()
    other = open_scheduler(replace(study, planned=()), total=1)
    with pytest.raises(UserError, match=r"study\.jsonl is the journal of another study"):
        run_all(other)
    assert read(owner.paths.journal("test/0000")) == before


def test_a_failing_trial_does_not_end_the_study(open_scheduler: OpenScheduler, study: Study) -> None:
    impossible = {"train.lr": 0.02, "model.pooling": "mean"}

    def sample(trial: Trial) -> None:
        trial.suggest_float("train.lr", 1e-3, 5e-2, log=True)
        pooling = trial.suggest_categorical("model.pooling", ["last", "mean"])
        if pooling == "mean" and trial.number == 0:
            trial.suggest_categorical("model.init_from", ["no such folder"])

    owner = open_scheduler(replace(study, sample=sample, planned=(Planned("start", impossible),)), total=2)
    run_all(owner)
    assert sorted(outcomes(owner)) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "no such folder" in owner.optuna.trials[0].user_attrs["reason"]
    assert journals_agree(owner)


def test_ten_failures_in_a_row_end_the_study_with_the_reason(open_scheduler: OpenScheduler, study: Study) -> None:
    hopeless = replace(study, base=study.base.override({"model.init_from": "no such folder"}))
    owner = open_scheduler(hopeless)
    with pytest.raises(StudyError, match=r"10 trials in a row failed.*no such folder"):
        run_all(owner)
    assert outcomes(owner) == ["FAIL"] * 10
