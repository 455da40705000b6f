"""Folders that a run's settings name: absolute, or beside the run's own, so that a folder of runs can be moved.

``beside:word_vectors/1f0c/vectors`` lies in the folder that holds the folders of all runs, each ``NAME/ID``.
"""

from __future__ import annotations

from pathlib import Path

from seqclf_core.config import RunConfig

BESIDE = "beside:"


def beside(path: Path, works: Path) -> str:
    """Return what a setting says for a folder: beside the runs where it is there, else where it is.

    Args:
        path: of the folder.
        works: folder of all runs' own folders.

    >>> beside(Path("/runs/work/vectors/1f"), Path("/runs/work"))
    'beside:vectors/1f'
    """
    path, works = path.absolute(), works.absolute()
    return f"{BESIDE}{path.relative_to(works).as_posix()}" if path.is_relative_to(works) else str(path)


def located(config: RunConfig, folder: Path) -> RunConfig:
    """Return settings whose folders are where they lie now.

    Args:
        config: of a run.
        folder: the run's own, ``NAME/ID`` in that of all runs.
    """
    named = {"model.init_from": config.model.init_from, "train.soft_labels": config.train.soft_labels}
    moved = {
        name: str(folder.absolute().parents[1] / given.removeprefix(BESIDE))
        for name, given in named.items()
        if given and given.startswith(BESIDE)
    }
    return config.override(moved) if moved else config
