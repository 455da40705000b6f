"""The one process that owns a study: asks Optuna, hands runs to workers, records their events, prunes, tells.

Nobody else writes the study, so there is nothing to race with: whatever a dead owner left RUNNING is nobody's, and
the next owner goes on with those very trials from their checkpoints. Every step below may be the last one before a
kill; each can be done again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.tracking.journal import Journal
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from seqclf_core.errors import UserError
from seqclf_core.events import Finished, Progress, Saved, Started
from studies.engine.cleanup import close, keep_best_models, open_recorder, trial_key
from studies.engine.executors import DiskFull, Executor, Failed, Job, Message, Stopped, Unfit, WorkerDied
from studies.engine.metadata import study_header, trial_header
from studies.engine.storage import DONE, VAL_LOSS, enqueue, trial_seed
from studies.study import Study

FAILURES_IN_A_ROW = 10
"""So many failed trials in a row end a study: the reason is then not in the settings that were drawn."""
NO_ROOM = "The disk takes no more; nothing that was recorded is lost"
DEATHS = 5
"""So many workers may die over one trial without bringing it forward, before the trial fails."""


@dataclass
class Running:
    """A trial in the hands of a worker."""

    trial: Trial
    recorder: Recorder
    job: Job
    reported: int
    """The last evaluation that Optuna knows of."""
    heard: float
    """When its worker last said something, on the monotonic clock."""
    deaths: int = 0
    step: int = 0
    evaluations: int = 0
    """How many there will be."""
    ending: bool = False
    """Told to stop; only the worker's last word is missing."""


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
    running: dict[str, Running] = field(default_factory=dict)
    adopted: list[FrozenTrial] = field(default_factory=list)
    awake: float = field(default_factory=time.monotonic)
    """When this process was last at work, on the monotonic clock."""
    conditions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Settings of data and precision -> digest of the data and precision of the first run that had them."""
    stopping: bool = False
    """Set by a signal: nothing new is started, and every run stops at its next event."""

    # -- the loop ------------------------------------------------------------------------------------------------

    @contextmanager
    def recording(self, more: bool = True) -> Iterator[None]:
        """Record the study itself, as the parent of its trials, and take over what an earlier owner left.

        Args:
            more: whether there are trials to do; else what an earlier owner could not finish is put in order.
        """
        header = study_header(self.name, self.study, self.tags)
        with Recorder.open(self.paths.journal(header.key), header) as recorder:
            if more:
                recorder.reopen()
            self.adopt()
            try:
                yield
            except StudyError as error:
                recorder.close("failed", str(error))
                raise
            if not self.stopping:
                recorder.close("complete")

    def adopt(self) -> None:
        """Take over what an earlier owner left: running trials to go on with, journals to close."""
        for frozen in self.optuna.get_trials(deepcopy=False):
            if frozen.state == TrialState.RUNNING:
                self.adopted.append(frozen)
            elif frozen.state.is_finished() and self._journal(frozen.number).exists():
                with Recorder(Journal(self._journal(frozen.number))) as recorder:
                    self._close(frozen, recorder)
        self._keep_best_models()

    def step(self, timeout: float = 1.0) -> bool:
        """Fill free slots, then handle what comes within ``timeout`` seconds; say whether there is more to do.

        Raises:
            StudyError: after ``FAILURES_IN_A_ROW`` failed trials in a row.
        """
        while not self.stopping and len(self.running) < self.executor.slots and self._start_next():
            pass
        if not self.running:
            return False
        for key, message in self.executor.messages(timeout):
            self._handle(self.running[key], message)
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

    def _start_next(self) -> bool:
        if self.adopted:
            self._start(self._trial(self.adopted.pop(0)))
            return True
        done = sum(trial.state in DONE for trial in self.optuna.get_trials(deepcopy=False))
        if done + len(self.running) >= self.study.total:
            return False
        if self.study.fixed_trials:
            enqueue(self.optuna, self.study)
            if not self.optuna.get_trials(deepcopy=False, states=[TrialState.WAITING]):
                return False
        number = self.optuna.ask().number
        self._start(self._trial(self.optuna.get_trials(deepcopy=False)[number]))
        return True

    def _trial(self, frozen: FrozenTrial) -> Trial:
        """Return a trial with a generator of its own: it draws the same, whoever draws and when."""
        self.optuna.sampler = self.study.sampler(trial_seed(self.study.base.seed, frozen.number))
        return Trial(self.optuna, frozen._trial_id)

    def _start(self, trial: Trial) -> None:
        self.study.draw(trial)
        config = self.study.config(trial)
        key = trial_key(self.name, trial.number)
        header = trial_header(self.name, self.study, trial, self.tags)
        job = Job(key, config, self.paths.work(key).absolute(), self.paths.cache.absolute())
        known = self.optuna.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.running[key] = Running(
            trial=trial,
            recorder=open_recorder(self.paths, header, trial.params),
            job=job,
            reported=max(known, default=0),
            heard=time.monotonic(),
        )
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
                run.trial.set_user_attr(VAL_LOSS, message.val_loss)  # breaks ties between equal accuracies
                self._end(run, TrialState.COMPLETE, value=message.val_accuracy)
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
        """Say how a run's data or precision differ from what runs on the same data settings had; else nothing."""
        settings = run.job.config.data.model_dump_json() + run.job.config.train.model_dump_json(
            include={"precision"}
        )
        digest, precision = self.conditions.setdefault(settings, (started.data.digest, started.precision))
        if started.data.digest != digest:
            return f"its data have digest {started.data.digest[:12]}, those of the study have {digest[:12]}"
        if started.precision != precision:
            return f"it computes in {started.precision}, the first run in {precision}; see --train.precision"
        return ""

    def _note(self, run: Running, event: Started | Progress | Saved) -> bool:
        """Record an event and say whether it shows that the trial should be pruned."""
        run.recorder.record(event)
        if isinstance(event, Started):
            run.evaluations = event.evaluations
            return False
        if event.step > run.step:
            run.step, run.deaths = event.step, 0
        if not isinstance(event, Progress) or event.evaluation < run.reported:
            return False
        if event.evaluation > run.reported:
            run.trial.report(event.val_accuracy, event.evaluation)
            run.reported = event.evaluation
        return run.trial.should_prune()

    def _end(self, run: Running, state: TrialState, reason: str = "", value: float | None = None) -> None:
        """Tell Optuna, close the journal, free the disk; the next owner can complete what a kill leaves out."""
        if reason:
            run.trial.set_user_attr("reason", reason)
        self.optuna.tell(run.trial, value, state=state)
        self._close(self.optuna.get_trials(deepcopy=False)[run.trial.number], run.recorder)
        self._keep_best_models()

    def _close(self, trial: FrozenTrial, recorder: Recorder) -> None:
        close(self.paths, self.name, trial, recorder)

    def _journal(self, number: int) -> Path:
        return self.paths.journal(trial_key(self.name, number))

    def _keep_best_models(self) -> None:
        keep_best_models(self.paths, self.name, self.optuna.get_trials(deepcopy=False))

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
        ended = [t.state for t in self.optuna.get_trials(deepcopy=False) if t.state.is_finished()]
        if len(ended) >= FAILURES_IN_A_ROW and set(ended[-FAILURES_IN_A_ROW:]) == {TrialState.FAIL}:
            raise StudyError(
                f"{FAILURES_IN_A_ROW} trials in a row failed, the last one because: {reason}. "
                "The study is stopped; what finished is kept. Mend the reason and run the same command again."
            )


class StudyError(UserError):
    """A study that cannot go on; the message says why."""
