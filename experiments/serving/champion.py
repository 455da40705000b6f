"""The champion's copy under RUNS, and the record of it: what ``seqclf predict`` and ``seqclf serve`` answer from.

``seqclf champion`` records the SHA-256 of every file of the copy. A model registry may be written to by others;
whatever is loaded as the champion has the digests recorded here, wherever its files came from.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from experiments.tracking.digests import digest_of, digests
from experiments.tracking.paths import RunPaths
from seqclf_core.errors import SavedError, UserError
from seqclf_core.files import atomic_path, atomic_write, remove

ARTIFACTS = "champion"
"""Folder of the registered model among the artifacts of its run in MLflow."""
MODEL_ARTIFACTS = f"{ARTIFACTS}/artifacts/model"
"""Path of the model folder itself among the artifacts of the run in MLflow."""
FILES_AT_MOST = 256
"""A model folder has three files; one of an ensemble has three for each member."""

FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")]
"""Path within a model folder: a name, or one in a folder of it."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Champion(BaseModel):
    """What ``seqclf champion`` recorded of the model that it registered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Key of the run that trained it: ``imdb/0007``."""
    val_accuracy: float
    version: str
    """Version in MLflow's model registry."""
    run_id: str
    """MLflow's name of the run."""
    members: dict[str, float] = Field(default_factory=dict)
    """Key of each run whose models answer together -> its weight; empty where one model answers."""
    files: Annotated[dict[FileName, Digest], Field(min_length=1, max_length=FILES_AT_MOST)]
    """Path of each file within the model folder -> SHA-256."""

    @property
    def digest(self) -> str:
        """SHA-256 over names and digests of all files: two models with the same one are the same."""
        return digest_of(self.files)


def read_champion(paths: RunPaths) -> Champion | None:
    """Return the record of the champion; None where none is registered.

    Raises:
        SavedError: if it cannot be read.
    """
    path = paths.champion_record
    try:
        return Champion.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SavedError(f"{path} cannot be read ({reason}). `seqclf champion` writes it again.") from error


def copy_of(paths: RunPaths, champion: Champion) -> Path:
    """Return where the copy of the champion lies; it is named by its content."""
    return paths.champion / champion.digest[:16]


def verified(paths: RunPaths, champion: Champion) -> Path:
    """Return the folder of the champion's copy, whose files are those that were recorded.

    Raises:
        SavedError: if it is not there, or a file of it is missing, changed or new; says what to do.
    """
    folder = copy_of(paths, champion)
    remedy = f"`seqclf champion` makes it again from the run {champion.key}."
    if not folder.is_dir():
        raise SavedError(f"The copy of the champion, {folder}, is missing. {remedy}")
    found = digests(folder)
    wrong = sorted(name for name in {*found, *champion.files} if found.get(name) != champion.files.get(name))
    if wrong:
        raise SavedError(
            f"The champion was not loaded: {folder / wrong[0]} is not what `seqclf champion` recorded in "
            f"{paths.champion_record}. {remedy}"
        )
    return folder


def keep_champion(paths: RunPaths, model: Path, champion: Champion) -> None:
    """Copy a model folder under RUNS, then record it as the champion, then remove the copies of earlier ones.

    A copy that is damaged or incomplete is made again.

    Raises:
        UserError: if the model folder is not the one of the record.
    """
    folder = copy_of(paths, champion)
    try:
        verified(paths, champion)
    except SavedError:
        with atomic_path(folder) as temporary:
            shutil.copytree(model, temporary, symlinks=True)
            if digests(temporary) != champion.files:
                raise UserError(f"{model} changed while it was copied. Run the same command again.") from None
    atomic_write(paths.champion_record, champion.model_dump_json(indent=1, exclude_defaults=True))
    remove(*(other for other in folder.parent.iterdir() if other != folder))
