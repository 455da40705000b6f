"""How good are the best settings of a search really? Each again on fresh seeds; nothing pruned; resumable.

    make finalists              # the best 3 of the study "imdb", on 5 seeds each
    make finalists OF=other-study BEST=2 SEEDS=10

A search's best score is partly luck: of the seed, and of the validation part that it was chosen by. Fresh seeds
show how much. The best seed of each finalist keeps its weights.
"""

from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import TrialState

from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies.storage import IDENTITY, open_storage
from studies.study import Planned, Study, sampling

BASE = RunConfig()
FIRST_SEED = 1001
"""Fresh seeds count up from here; searches use small ones."""


@dataclass(frozen=True)
class Question:
    """What this study can be asked besides its settings."""

    of: str = "imdb"
    """The search whose best settings run again."""
    best: int = 3
    """How many of them, by validation accuracy."""
    seeds: int = 5
    """Fresh seeds for each."""


def declare(question: Question, storage: str) -> Study:
    """Declare the runs.

    Raises:
        UserError: if there is no such search, or it has too few complete trials.
    """
    search = open_search(question.of, storage)
    complete = [trial for trial in search.trials if trial.state == TrialState.COMPLETE]
    chosen = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[: question.best]
    if len(chosen) < max(1, question.best) or question.seeds < 1:
        raise UserError(
            f"{question.best} finalists on {question.seeds} seeds were asked for; the study {question.of!r} has "
            f"{len(complete)} complete trials, and both numbers must be at least 1"
        )
    ranges: dict[str, BaseDistribution] = {**chosen[0].distributions, "seed": IntDistribution(0, 2**31 - 1)}
    planned = [
        Planned(
            name=f"{question.of}/{trial.number:04d} seed {seed}",
            repeats=f"{question.of}/{trial.number:04d}",
            settings={**trial.params, "seed": seed},
            tags={
                "seqclf.finalist": f"{question.of}/{trial.number:04d}",
                "seqclf.rank": str(rank),
                "seqclf.search_value": repr(trial.value),
            },
        )
        for seed in range(FIRST_SEED, FIRST_SEED + question.seeds)
        for rank, trial in enumerate(chosen, start=1)
    ]
    return Study(
        question=f"How good are the best {question.best} settings of {question.of!r} on fresh seeds?",
        # A finalist that diverges on a fresh seed tells of its settings: it counts, and is not run again.
        base=RunConfig().override({**search.user_attrs[IDENTITY]["base"], "train.diverged": "score"}),
        sample=sampling(ranges),
        total=len(planned),
        planned=tuple(planned),
        is_list=True,
        counted=("SEEDS", question.best),
        subject=", ".join(f"{question.of}/{trial.number:04d}" for trial in chosen),
        notes={"seqclf.of": question.of, "seqclf.seeds": str(question.seeds)},
    )


def open_search(name: str, storage: str) -> optuna.Study:
    """Open the study whose best settings run again.

    Raises:
        UserError: if it does not exist or was not made by a search here; names those that were.
    """
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    if name in names:
        search = optuna.load_study(study_name=name, storage=opened)
        if IDENTITY in search.user_attrs:
            return search
    known = ", ".join(sorted(names)) or "none yet"
    raise UserError(
        f"There is no search {name!r} to take finalists from. There are: {known}. Run `make study` first."
    )
