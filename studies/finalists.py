"""How good are the best settings of a search really? Each again on fresh seeds; nothing pruned; resumable.

    make finalists              # the best 3 of the study "imdb", on 5 seeds each
    make finalists OF=other-study BEST=2 SEEDS=10
    make finalists OF=reports/imdb/imdb     # of a search that was published, wherever it ran

A search's best score is partly luck: of the seed, and of the validation split that it was chosen by. Fresh seeds
show how much. The best seed of each finalist keeps its weights.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from experiments.serving.selection import rank_key
from experiments.tracking import names
from experiments.tracking.plan import StudyPlan
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies.engine.storage import IDENTITY, VAL_LOSS, open_storage
from studies.study import Planned, Study, sampling

BASE = RunConfig()


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    of: str = "imdb"
    """The search whose best settings run again: its name, or the folder of its published report."""
    best: int = 3
    """Number of best settings to run again, by validation accuracy."""
    seeds: int = 5
    """Number of fresh seeds for each of them."""


@dataclass(frozen=True)
class Candidate:
    """A complete trial of a search."""

    key: str
    """Key of the trial's run, such as ``imdb/0008``."""
    value: float
    """Validation accuracy, by which it is chosen."""
    loss: float | None
    """Validation loss, which decides between equal accuracies."""
    settings: dict[str, Any]
    """Those that the search drew."""


@dataclass(frozen=True)
class Search:
    """What finalists are taken from."""

    base: RunConfig
    ranges: dict[str, BaseDistribution]
    """Distribution of every setting that the search drew."""
    digest: str
    """Digest of the search's data."""
    complete: Sequence[Candidate]


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the runs.

    Raises:
        UserError: if there is no such search, or it has too few complete trials.
    """
    published = published_at(params.of)
    search = read_published(published) if published else read_study(params.of, storage)
    chosen = sorted(search.complete, key=lambda each: rank_key(each.value, each.loss, each.key))[: params.best]
    if len(chosen) < max(1, params.best) or params.seeds < 1:
        raise UserError(
            f"{params.best} finalists on {params.seeds} seeds were asked for; the study {params.of!r} has "
            f"{len(search.complete)} complete trials. Both numbers must be at least 1, and "
            "there must be as many trials as finalists"
        )
    planned = [
        Planned(
            name=f"{candidate.key} seed {fresh}",
            repeats=candidate.key,
            settings={**candidate.settings, "seed": fresh},
            tags={
                names.FINALIST: candidate.key,
                names.RANK: str(rank),
                names.SEARCH_VALUE: repr(candidate.value),
            },
        )
        for fresh in fresh_seeds(seed, params.seeds)
        for rank, candidate in enumerate(chosen, start=1)
    ]
    count = "" if params.best == 1 else f"{params.best} "
    return Study(
        question=f"How good are the best {count}settings of {params.of!r} on fresh seeds?",
        # A finalist that diverges on a fresh seed tells of its settings: it counts, and is not run again.
        base=search.base.override({"train.on_divergence": "score"}),
        sample=sampling({**search.ranges, "seed": IntDistribution(0, 2**31 - 1)}),
        seed=seed,
        total=len(planned),
        planned=tuple(planned),
        fixed_trials=True,
        plan=StudyPlan(
            study_type="finalists",
            of=params.of,
            of_data=search.digest,
            best=params.best,
            seeds=params.seeds,
            outcome=names.TEST_ACCURACY,
        ),
        counted=("SEEDS", params.best),
        subject=", ".join(candidate.key for candidate in chosen),
    )


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Return seeds of runs that no search used: a pure function of the study's seed and each one's place."""
    return [int(np.random.default_rng([seed, place]).integers(1001, 2**31)) for place in range(count)]


def read_study(name: str, storage: str) -> Search:
    """Read a search in Optuna's database.

    Raises:
        UserError: if it does not exist or was not made by a search here; names those that were.
    """
    search = open_search(name, storage)
    identity = search.user_attrs[IDENTITY]
    complete = [trial for trial in search.trials if trial.state == TrialState.COMPLETE]
    return Search(
        base=RunConfig().override(identity["base"]),
        ranges=dict(complete[0].distributions) if complete else {},
        digest=identity["data"],
        complete=[
            Candidate(f"{name}/{t.number:04d}", t.value or 0.0, t.user_attrs.get(VAL_LOSS), dict(t.params))
            for t in complete
        ],
    )


def published_at(of: str) -> Path | None:
    """Return the table of a published search's runs, if that is what was named."""
    path = Path(of)
    path = path / "runs.csv" if path.is_dir() else path
    return path if path.suffix == ".csv" and path.is_file() else None


def read_published(path: Path) -> Search:
    """Read a search from the ``runs.csv`` of its report: another machine can go on from it.

    Raises:
        UserError: if it is no such table, or its settings are not those of a run here.
    """
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = [
                row for row in csv.DictReader(table) if row["outcome"] == "complete" and row["role"] == "trial"
            ]
        known = [name for name in RunConfig().flat() if name != "data.source" and rows and name in rows[0]]
        configs = [RunConfig().override({name: row[name] for name in known if row[name]}).flat() for row in rows]
        drawn = [name for name in known if len({str(config[name]) for config in configs}) > 1]
        complete = [
            Candidate(
                row["key"],
                float(row["best/val_accuracy"]),
                float(row["best/val_loss"] or "nan"),
                {name: config[name] for name in drawn},
            )
            for row, config in zip(rows, configs, strict=True)
        ]
        digest = rows[0]["digest"] if rows else ""
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as the runs of a published search ({error}). Expected a report's runs.csv."
        ) from error
    shared = {name: value for name, value in configs[0].items() if name not in drawn} if configs else {}
    return Search(
        base=RunConfig().override({**shared, "data.source": "auto"}),
        ranges={name: CategoricalDistribution(sorted({c[name] for c in configs}, key=str)) for name in drawn},
        digest=digest,
        complete=complete,
    )


def open_search(name: str, storage: str) -> optuna.Study:
    """Open the study whose best settings run again.

    Raises:
        UserError: if it does not exist or was not made by a search here; names those that were.
    """
    opened = open_storage(storage)
    existing = optuna.get_all_study_names(opened)
    if name in existing:
        search = optuna.load_study(study_name=name, storage=opened)
        if IDENTITY in search.user_attrs:
            return search
    known = ", ".join(sorted(existing)) or "none yet"
    raise UserError(
        f"There is no search {name!r} to take finalists from. There are: {known}. Run `make study` first."
    )
