"""How the end of a trial shows in its journal and folder: put in order by its owner, or by whoever comes next."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from experiments.serving.selection import RankKey, rank_key
from experiments.tracking.journal import Header, Opened, Outcome
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from seqclf_core.errors import UserError
from studies.engine.storage import REPEATS, VAL_LOSS

OUTCOMES: dict[TrialState, Outcome] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
KEPT_MODELS = 3
"""The best so many trials of a search keep their weights."""


def trial_key(name: str, number: int) -> str:
    """Return the key of a trial's run."""
    return f"{name}/{number:04d}"


def trial_rank_key(trial: FrozenTrial) -> RankKey:
    """Return what complete trials are sorted by, the best by validation first."""
    return rank_key(trial.value, trial.user_attrs.get(VAL_LOSS), str(trial.number))


def open_recorder(paths: RunPaths, header: Header, drawn: Iterable[str]) -> Recorder:
    """Open the journal of a trial.

    Args:
        paths: the folder with all that is recorded.
        header: of the trial.
        drawn: the names of its settings that were drawn.

    Raises:
        UserError: if there is a journal of another trial under its key, as where Optuna's database was lost.
    """
    recorder = Recorder.open(paths.journal(header.key), header)
    first = recorder.entries[0]
    assert isinstance(first, Opened)
    if any(first.header.params.get(name) != header.params[name] for name in drawn):
        recorder.__exit__()
        raise UserError(
            f"{paths.journal(header.key)} is the journal of another trial, of which Optuna knows nothing: its "
            "database was lost or replaced. Bring it back, or choose another NAME."
        )
    return recorder


def close(paths: RunPaths, name: str, trial: FrozenTrial, recorder: Recorder) -> None:
    """Close the journal of a trial that has ended, and free what is of no use any more."""
    recorder.close(OUTCOMES[trial.state], trial.user_attrs.get("reason", ""))
    folder = paths.work(trial_key(name, trial.number))
    with suppress(OSError):  # it only takes space; `make doctor` tells of it
        remove(*leftovers(folder) if trial.state == TrialState.COMPLETE else [folder])


def leftovers(folder: Path) -> list[Path]:
    """Return what a run that is over no longer needs: its checkpoint, and what a kill left half-written."""
    return sorted([*folder.glob("checkpoint.safetensors"), *folder.glob(".*"), *folder.glob("predictions/.*")])


def remove(*unwanted: Path) -> None:
    """Remove files and folders, those that are there."""
    for path in unwanted:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def superseded(trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    """Yield the complete trials whose weights are not worth their space: all but the best by validation.

    Of trials that repeat the same settings on other seeds the best one keeps its weights: whichever settings turn
    out to be the best on average, there is a model of them.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    kept: Counter[str] = Counter()
    for trial in sorted(complete, key=trial_rank_key):
        repeated = trial.user_attrs.get(REPEATS, "")
        kept[repeated] += 1
        if kept[repeated] > (1 if repeated else KEPT_MODELS):
            yield trial


def keep_best_models(paths: RunPaths, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Remove the weights that are not worth their space."""
    for trial in superseded(trials):
        with suppress(OSError):
            remove(paths.work(trial_key(name, trial.number)) / "model")
