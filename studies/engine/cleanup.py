"""How the end of a trial shows in its journal and folder: put in order by its owner, or by whoever comes next."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from experiments.serving.selection import RankKey, rank_key
from experiments.tracking import names
from experiments.tracking.clock import CLOCK, Clock
from experiments.tracking.journal import Header, Outcome, opened
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from seqclf_core.errors import UserError
from studies.engine.storage import REPEATS, VAL_LOSS

OUTCOMES: dict[TrialState, Outcome] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
LAST_LINE = 16_384
"""Bytes within which the last line of a closed journal lies, with the reason of a failure."""
KEPT_MODELS = 3
"""The best so many trials of a search keep their weights."""


def trial_key(name: str, number: int) -> str:
    """Return the key of a trial's run."""
    return f"{name}/{number:04d}"


def trial_rank_key(trial: FrozenTrial) -> RankKey:
    """Return what complete trials are sorted by, the best by validation first."""
    return rank_key(trial.value, trial.user_attrs.get(VAL_LOSS), str(trial.number))


def open_recorder(paths: RunPaths, header: Header, drawn: Iterable[str] = (), clock: Clock = CLOCK) -> Recorder:
    """Open the journal of a study or trial.

    Args:
        paths: the folder with all that is recorded.
        header: of the study or trial.
        drawn: the names of a trial's settings that were drawn.
        clock: what the journal is stamped by.

    Raises:
        UserError: if the journal under its key is that of another one, as where Optuna's database was lost.
    """
    recorder = Recorder.open(paths.journal(header.key), header, clock)
    known = opened(recorder.entries).header
    other_study = known.tags.get(names.UID) != header.tags[names.UID]
    if other_study or any(known.params.get(name) != header.params[name] for name in drawn):
        recorder.__exit__()
        other = "study of this name" if other_study else "trial"
        raise UserError(
            f"{paths.journal(header.key)} is the journal of another {other}, of which Optuna knows nothing: its "
            "database was lost or replaced. `seqclf doctor` says what can be rebuilt; or choose another NAME."
        )
    return recorder


def close(paths: RunPaths, name: str, trial: FrozenTrial, recorder: Recorder) -> None:
    """Close the journal of a trial that has ended, and free what is of no use any more."""
    recorder.close(OUTCOMES[trial.state], trial.user_attrs.get("reason", ""))
    tidy(paths, name, trial)


def tidy(paths: RunPaths, name: str, trial: FrozenTrial) -> None:
    """Free what a trial that has ended no longer needs."""
    folder = paths.work(trial_key(name, trial.number))
    with suppress(OSError):  # it only takes space; `make doctor` tells of it
        remove(*leftovers(folder) if trial.state == TrialState.COMPLETE else [folder])


def is_closed(path: Path) -> bool:
    """Whether the last line of a journal says that its run has ended; the other lines are not read."""
    return closed_at(path) is not None


def closed_at(path: Path) -> int | None:
    """Return when a run ended, by the last line of its journal; None where that says something else."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_LINE))
            lines = file.read().split(b"\n")
        last = json.loads(lines[-2]) if len(lines) > 1 and lines[-1] == b"" else {}
        return int(last["time"]) if last.get("entry") == "closed" else None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


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


def keep_best_models(paths: RunPaths, name: str, trials: Sequence[FrozenTrial]) -> set[int]:
    """Remove the weights that are not worth their space, and return the numbers of their trials."""
    gone = set()
    for trial in superseded(trials):
        gone.add(trial.number)
        with suppress(OSError):
            remove(paths.work(trial_key(name, trial.number)) / "model")
    return gone
