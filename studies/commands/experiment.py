"""``seqclf experiment``: do or resume a named experiment; without a name, list those there are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from experiments.catalog import experiments, listed, load
from experiments.tracking.paths import RunPaths
from seqclf_core.cli import named_settings, parse
from seqclf_core.config import Settings
from seqclf_core.environment import prepare_process
from seqclf_core.errors import UserError

SettingsOf = TypeVar("SettingsOf", bound=Settings, covariant=True)


@dataclass(frozen=True)
class Options(Generic[SettingsOf]):
    """Do an experiment, or resume it where it stopped."""

    config: Annotated[SettingsOf, tyro.conf.arg(name="")]
    """Settings. The same ones on the same data are the same runs; others, such as another --seed, make others."""
    runs: Path = Path("runs")
    """Folder with everything that is recorded."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI or the database in the folder."""


def main(arguments: Sequence[str]) -> int:
    """Do the experiment that the arguments name, or list those there are."""
    if not arguments or arguments[0].startswith("-"):
        print(f"Name one of these experiments, as in `make experiment NAME=baseline`:\n{listed()}")
        return 0
    name, *rest = arguments
    if name in experiments():
        print(f"Getting {name} ready.", flush=True)
    prepare_process()
    experiment = load(name)
    kind: Any = Options[type(experiment.base)]  # type: ignore[misc]
    options: Options[Settings] = parse(kind, rest, f"experiment {name}", Options(config=experiment.base))
    if varied := sorted(experiment.varies & named_settings(rest)):
        raise UserError(
            f"{name} sets {' and '.join(varied)} itself, since that is what it compares. "
            "Leave it out, or do a single run with another value: make experiment NAME=baseline"
        )
    from experiments.run_experiment import run_experiment

    command = shlex.join(["seqclf", "experiment", *arguments])
    return run_experiment(name, experiment, options.config, RunPaths(options.runs), options.tracking_uri, command)
