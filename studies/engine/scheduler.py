"""The scheduler, a study's one owner: asks Optuna, hands runs to workers, records their events, prunes, tells.

Nobody else writes the study, so there is nothing to race with: whatever a dead owner left RUNNING is nobody's, and
the next owner resumes those very trials from their checkpoints. Every step below may be the last one before a
kill; each can be done again. Since nobody else writes, what has ended is read once and then kept in memory.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.tracking import names
from experiments.tracking.clock import CLOCK, Clock
from experiments.tracking.journal import Journal, JournalError
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from experiments.tracking.recorder import Recorder
from seqclf_core.errors import UserError
from seqclf_core.events import Finished, Progress, Saved, Started
from studies.engine.cleanup import (
    close,
    closed_at,
    keep_best_models,
    open_recorder,
    tidy,
    trial_key,
    trial_rank_key,
)
from studies.engine.executors import DiskFull, Executor, Failed, Job, Message, Stopped, Unfit, WorkerDied
from studies.engine.metadata import study_header, trial_header
from studies.engine.storage import DONE, PLANNED, VAL_LOSS, enqueue_planned, plan_of, trial_seed, tries_left
from studies.engine.view import EndedTrials, StudyView
from studies.engine.writes import TrialWrites
from studies.study import Planned, Study

FAILURES_IN_A_ROW = 10
"""So many failed trials in a row end a study: the reason is then not in the settings that were drawn."""
NO_ROOM = "The disk is full; nothing that was recorded is lost"
NOTICED_MS = 60_000
"""A clock that is behind by less is not spoken of."""
DEATHS = 5
"""So many workers may die over one trial without bringing it forward, before the trial fails."""


@dataclass
class Running:
    """A trial in the hands of a worker."""

    trial: Trial
    frozen: FrozenTrial
    """The trial as Optuna has it, for the draws of others: a thousand of them are not read again for each draw."""
    recorder: Recorder
    job: Job
    reported: int
    """The last evaluation that Optuna knows of."""
    heard: float
    """When its worker last said something, on the monotonic clock."""
    deaths: int = 0
    step: int = 0
    evaluations: int = 0
    """Number of evaluations that there will be at most."""
    latest: Progress | None = None
    """The last evaluation."""
    ending: bool = False
    """Whether it was told to stop; only the worker's last word is missing."""


@dataclass
class Scheduler:
    """The state of a study while it runs."""

    name: str
    study: Study
    optuna: optuna.Study
    paths: RunPaths
    executor: Executor
    tags: dict[str, str]
    patience: float
    """Seconds without a word after which a worker is taken to hang."""
    clock: Clock = CLOCK
    """What everything that is recorded of the study is stamped by."""
    running: dict[str, Running] = field(default_factory=dict)
    adopted: list[FrozenTrial] = field(default_factory=list)
    ended: dict[int, FrozenTrial] = field(default_factory=dict)
    """Number -> trial that has ended, as Optuna has it."""
    counts: Counter[TrialState] = field(default_factory=Counter)
    """State of an ended trial -> the number of trials that ended in it."""
    kept: list[FrozenTrial] = field(default_factory=list)
    """Complete trials that keep their weights."""
    best: FrozenTrial | None = None
    """The best complete trial by validation."""
    news: list[tuple[FrozenTrial, float]] = field(default_factory=list)
    """Trials that ended since somebody last took them out, for the display, and the seconds from start to end."""
    waiting: int = 0
    """Number of trials that Optuna will hand out before it makes new ones."""
    to_plan: deque[Planned] = field(default_factory=deque)
    """Planned trials of a fixed list that Optuna does not know yet, or that are tried again."""
    failures_in_a_row: int = 0
    awake: float = field(default_factory=time.monotonic)
    """When this process was last at work, on the monotonic clock."""
    conditions: dict[str, tuple[str, str, str | None]] = field(default_factory=dict)
    """Settings of data and precision -> digest of the data and precision of the first run that had them."""
    stopping: bool = False
    """Set by a signal: nothing new is started, and every run stops at its next event."""

    plan: StudyPlan = field(init=False)
    writes: TrialWrites = field(init=False)
    known: EndedTrials = field(default_factory=EndedTrials)
    """View of ``ended`` that the sampler and the pruner read."""
    compared: StudyView | None = None
    """Trials that the pruner compares a trial with; None where a trial has ended since."""

    def __post_init__(self) -> None:
        self.plan = plan_of(self.optuna)
        self.writes = TrialWrites(self.optuna._storage)
        self.tags = {**self.tags, names.UID: self.plan.uid}

    # -- the loop ------------------------------------------------------------------------------------------------

    @contextmanager
    def recording(self, more: bool = True) -> Iterator[None]:
        """Record the study itself, as the parent of its trials, and take over what an earlier owner left.

        Args:
            more: whether there are trials to do; else what an earlier owner could not finish is put in order.
        """
        header = study_header(self.name, self.study, self.plan, self.tags)
        with open_recorder(self.paths, header, clock=self.clock) as recorder:
            self.adopt()
            if more:
                recorder.reopen()
            try:
                yield
            except StudyError as error:
                recorder.close("failed", str(error))
                raise
            if not self.stopping:
                recorder.close("complete")

    def adopt(self) -> None:
        """Take over what an earlier owner left: running trials to continue, journals to close."""
        trials = self.optuna.get_trials(deepcopy=False)
        latest = 0
        for frozen in trials:
            if frozen.state == TrialState.RUNNING:
                self.adopted.append(frozen)
            elif frozen.state == TrialState.WAITING:
                self.waiting += 1
            else:
                self._remember(frozen)
                latest = max(latest, self._put_in_order(frozen))
        self.clock.go_on_from(latest)
        if self.clock.ahead > NOTICED_MS:
            now = datetime.fromtimestamp(self.clock.now() / 1000, UTC)
            self.executor.notices.append(
                "this computer's clock is behind what is recorded of the study, whose times go on from "
                f"{now:%Y-%m-%d %H:%M} UTC"
            )
        self.kept = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        self._keep_best_models()
        if self.study.fixed_trials:
            self.to_plan = deque(planned for planned, left in tries_left(trials, self.study) if left)

    def _remember(self, frozen: FrozenTrial) -> None:
        self.ended[frozen.number] = frozen
        self.known.add(frozen)
        self.compared = None
        self.counts[frozen.state] += 1
        if frozen.state == TrialState.COMPLETE and (
            self.best is None or trial_rank_key(frozen) < trial_rank_key(self.best)
        ):
            self.best = frozen

    def _put_in_order(self, frozen: FrozenTrial) -> int:
        """Close the journal of a trial that has ended, where a kill came between; return when it ended."""
        path = self._journal(frozen.number)
        ended = closed_at(path)
        try:
            if ended is None and path.exists():
                with Recorder(Journal(path, self.clock)) as recorder:
                    self._close(frozen, recorder)
            elif path.exists():
                tidy(self.paths, self.name, frozen)
        except JournalError as error:
            self.executor.notices.append(f"trial {frozen.number:04d} has ended, but: {error}")
        return ended or 0

    @property
    def complete(self) -> list[FrozenTrial]:
        """The complete trials."""
        return [trial for trial in self.ended.values() if trial.state == TrialState.COMPLETE]

    def step(self, timeout: float = 1.0) -> bool:
        """Fill free slots, then handle what comes within ``timeout`` seconds; say whether there is more to do.

        Raises:
            StudyError: after ``FAILURES_IN_A_ROW`` failed trials in a row.
        """
        for _ in range(self.executor.slots - len(self.running)):
            if self.stopping or not self._start_next():
                break
            if (
                len(self.running) < self.executor.slots
            ):  # a draw takes a while: meanwhile, others wait for an answer
                self._handle_messages(0.0)
        if not self.running:
            return False
        self._handle_messages(timeout)
        now = time.monotonic()
        away = now - self.awake > timeout + self.patience / 2  # this process itself, as on a machine that slept
        self.awake = now
        for key, run in self.running.items():
            if away:
                run.heard = now
            elif now - run.heard > self.patience:
                self.executor.kill(key)  # ``WorkerDied`` follows
                run.heard = now
        return True

    def _handle_messages(self, timeout: float) -> None:
        for key, message in self.executor.messages(timeout):
            self._handle(self.running[key], message)
        self.writes.flush()

    def _start_next(self) -> bool:
        if self.adopted:
            self._start(self.adopted.pop(0)._trial_id)
            return True
        if sum(self.counts[state] for state in DONE) + len(self.running) >= self.study.total:
            return False
        if self.study.fixed_trials and not self.waiting:
            if not self.to_plan:
                return False
            enqueue_planned(self.optuna, self.to_plan.popleft())
            self.waiting += 1
        self._start(self._next_trial())
        return True

    def _next_trial(self) -> int:
        """Return the id of the next trial that waits, else of a new one.

        It is drawn when a slot is free for it, never ahead: all that was told by then is known to its sampler, and
        one worker's study is the same whether or not it was interrupted. A draw takes a thousandth of a run.
        """
        if not self.waiting:
            return self.optuna._storage.create_new_trial(self.optuna._study_id)
        self.waiting -= 1
        self.optuna.sampler = RandomSampler()  # draws nothing here: the trial's own sampler does, in ``_trial``
        return self.optuna.ask()._trial_id

    def _trial(self, trial_id: int, number: int) -> Trial:
        """Return a trial with a generator of its own: it draws the same, whoever draws and when."""
        self.optuna.sampler = self.study.sampler(trial_seed(self.study.seed, number))
        seen = self.known.most_telling(run.frozen for run in self.running.values())
        return Trial(StudyView(self.optuna, seen, self.writes), trial_id)  # type: ignore[arg-type]

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.optuna._storage.get_trial(trial._trial_id)

    def _start(self, trial_id: int) -> None:
        known = self.optuna._storage.get_trial(trial_id)
        trial = self._trial(trial_id, known.number)
        self.study.draw(trial)
        config = self.study.config(trial)
        key = trial_key(self.name, trial.number)
        header = trial_header(self.name, self.study, trial, self.tags)
        job = Job(key, config, self.paths.work(key).absolute(), self.paths.cache.absolute())
        frozen = copy(known)
        frozen.params, frozen.distributions = trial.params, trial.distributions
        run = self.running[key] = Running(
            trial=trial,
            frozen=frozen,
            recorder=open_recorder(self.paths, header, trial.params, self.clock),
            job=job,
            reported=max(known.intermediate_values, default=0),
            heard=time.monotonic(),
        )
        for event in run.recorder.progress:  # of an earlier owner, who was killed before it wrote them
            self._report(run, event)
        self.writes.flush()
        self.executor.start(job)

    # -- what comes back -----------------------------------------------------------------------------------------

    def _handle(self, run: Running, message: Message) -> None:
        run.heard = time.monotonic()
        match message:
            case Stopped():
                self._forget(run)
            case WorkerDied() | Unfit() if run.ending:
                self._forget(run)
            case WorkerDied(reason, lost=False):
                self._again(run, reason)
            case WorkerDied() | Unfit():  # the fault of a machine: the trial goes on elsewhere
                self.executor.start(run.job)
            case Failed(reason):
                self._end(run, TrialState.FAIL, reason)
                self._forget(run)
                self._mind_failures(reason)
            case DiskFull(reason):
                raise UserError(f"{NO_ROOM} ({reason}). Make room and run the same command again.")
            case Finished():
                run.recorder.record(message)
                run.trial.set_user_attr(
                    VAL_LOSS, message.metrics["best/val_loss"]
                )  # breaks ties between equal accuracies
                self._end(run, TrialState.COMPLETE, value=message.metrics["best/val_accuracy"])
                self._forget(run)
            case Started() if reason := self._other_conditions(run, message):
                self.executor.refuse(run.job.key, reason)
            case Started() | Progress() | Saved():
                prune = self._note(run, message)
                if prune:
                    self._end(run, TrialState.PRUNED)
                run.ending = prune or self.stopping
                self.executor.answer(run.job.key, go=not run.ending)

    def _other_conditions(self, run: Running, started: Started) -> str:
        """Say how a run's data, precision or kernel differ from those of runs with its settings; else nothing."""
        pooling, train = run.job.config.model.pooling, run.job.config.train  # one pooling has no choice of kernels
        settings = run.job.config.data.model_dump_json() + train.model_dump_json(include={"precision", "kernel"})
        digest, precision, kernel = self.conditions.setdefault(
            settings + str(pooling == "last_position"), (started.data.digest, started.precision, started.kernel)
        )
        if started.data.digest != digest:
            return f"its data have digest {started.data.digest[:12]}, those of the study have {digest[:12]}"
        if started.precision != precision:
            return f"it computes in {started.precision}, the first run in {precision}; see --train.precision"
        if started.kernel != kernel:
            return f"its LSTM is computed by {started.kernel}, the first run's by {kernel}; see --train.kernel"
        return ""

    def _note(self, run: Running, event: Started | Progress | Saved) -> bool:
        """Record an event and say whether it shows that the trial should be pruned."""
        run.recorder.record(event)
        if isinstance(event, Started):
            run.evaluations = event.evaluations
            return False
        if event.step > run.step:
            run.step, run.deaths = event.step, 0
        if not isinstance(event, Progress):
            return False
        run.latest = event
        if event.evaluation < run.reported:
            return False
        self._report(run, event)
        if event.evaluation >= run.evaluations:
            return False  # all of its work is done: what is left is its score
        if self.compared is None:
            self.compared = StudyView(self.optuna, self.known.most_telling(), self.writes)
        return self.optuna.pruner.prune(self.compared, run.frozen)  # type: ignore[arg-type]

    def _report(self, run: Running, event: Progress) -> None:
        """Let Optuna know of an evaluation, unless it does."""
        if event.evaluation <= run.reported:
            return
        value = event.metrics["val/accuracy"]
        self.writes.set_trial_intermediate_value(run.trial._trial_id, event.evaluation, value)
        run.reported = event.evaluation
        run.frozen = copy(run.frozen)
        run.frozen.intermediate_values = {**run.frozen.intermediate_values, event.evaluation: value}

    def _end(self, run: Running, state: TrialState, reason: str = "", value: float | None = None) -> None:
        """Tell Optuna, close the journal, free the disk; the next owner can complete what a kill leaves out."""
        self.writes.flush()
        if reason:
            run.trial.set_user_attr("reason", reason)
        self.optuna.tell(run.trial, value, state=state)
        ended = self._frozen(run.trial)
        self._remember(ended)
        self._close(ended, run.recorder)
        first, *_, last = run.recorder.entries
        self.news.append((ended, (last.time - first.time) / 1000))
        if state == TrialState.COMPLETE:
            self.failures_in_a_row = 0
            self.kept.append(ended)
            self._keep_best_models()
        elif state == TrialState.PRUNED:
            self.failures_in_a_row = 0
        elif self.study.fixed_trials:
            name = ended.user_attrs.get(PLANNED)
            mine = [trial for trial in self.ended.values() if trial.user_attrs.get(PLANNED) == name]
            self.to_plan += [
                planned for planned, left in tries_left(mine, self.study) if left and planned.name == name
            ]

    def _close(self, trial: FrozenTrial, recorder: Recorder) -> None:
        close(self.paths, self.name, trial, recorder)

    def _journal(self, number: int) -> Path:
        return self.paths.journal(trial_key(self.name, number))

    def _keep_best_models(self) -> None:
        gone = keep_best_models(self.paths, self.name, self.kept)
        self.kept = [trial for trial in self.kept if trial.number not in gone]

    def _again(self, run: Running, reason: str) -> None:
        run.deaths += 1
        if run.deaths < DEATHS:
            self.executor.start(run.job)
            return
        reason = f"{reason}, {DEATHS} times at about example {run.step:,}"
        self._end(run, TrialState.FAIL, reason)
        self._forget(run)
        self._mind_failures(reason)

    def _forget(self, run: Running) -> None:
        run.recorder.__exit__()
        del self.running[run.job.key]

    def _mind_failures(self, reason: str) -> None:
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= FAILURES_IN_A_ROW:
            raise StudyError(
                f"{FAILURES_IN_A_ROW} trials in a row failed, the last one because: {reason}. "
                "The study is stopped; what finished is kept. Mend the reason and run the same command again."
            )


class StudyError(UserError):
    """A study that cannot go on; the message says why."""
