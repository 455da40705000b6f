"""``seqclf study NAME``: run the study that a file in ``studies/`` declares, or continue it."""

from __future__ import annotations

import pkgutil
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

import studies
from experiments.tracking import names
from experiments.tracking.paths import RunPaths, valid_name
from experiments.tracking.plan import new_seed
from seqclf_core.cli import named_settings, parse
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.masking import mask
from studies.study import Study

Params = TypeVar("Params")


@dataclass(frozen=True)
class Options(Generic[Params]):
    """Run a study, or continue it where it stopped."""

    params: Annotated[Params, tyro.conf.arg(name="")]
    """Options of this study alone."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    """Base settings of every trial. One that the study searches is fixed when it is named here."""
    name: str
    """Name of this study; the same name again continues it."""
    study_seed: int | None = None
    """Seed of all draws of the study; without it, the seed of the study of this name, or a new one."""
    workers: int | None = None
    """Number of runs at a time; without it, as many as processors and memory allow, or one per GPU."""
    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""
    storage: str | None = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""
    hang_seconds: float = 900.0
    """Seconds of silence after which a worker is ended; its trial goes on in another one."""
    ray: str | None = None
    """Address of a cluster's head, HOST:PORT, whose machines do the runs; without it, this machine does them."""
    token: Path | None = None
    """File of the cluster's token; without it, Ray's own (~/.ray/auth_token)."""
    report: bool = True
    """Write the report when the study ends."""


def declared() -> dict[str, str]:
    """Return the studies there are: name -> first line of its file."""
    found = {}
    for module in pkgutil.iter_modules(studies.__path__):
        if module.ispkg:
            continue
        source = (Path(studies.__path__[0]) / f"{module.name}.py").read_text(encoding="utf-8")
        if "\ndef build_study(" in source:
            found[module.name] = source.split('"""')[1].splitlines()[0]
    return found


def load_study(name: str) -> Any:
    """Import the module that declares a study: its ``Params``, ``BASE`` and ``build_study``.

    Raises:
        UserError: if there is none of this name; names those that exist.
    """
    known = declared()
    if name not in known:
        listed = "\n".join(f"  {each:12} {line}" for each, line in known.items())
        raise UserError(f"There is no study {name!r}. Name one of these first:\n{listed}")
    return import_module(f"studies.{name}")


def options_of(arguments: Sequence[str]) -> tuple[Any, Options[Any]]:
    """Return the module of the study that a command line names, and the options that stand behind the name.

    Raises:
        UserError: if it names what does not exist or makes no sense.
        pydantic.ValidationError: if a setting's value does not fit.
        SystemExit: after --help, or where an option is unknown or its value does not fit.
    """
    if list(arguments[:1]) in ([], ["-h"], ["--help"]):
        arguments = ["imdb", *(arguments or ["--help"])]
    module = load_study(arguments[0])
    default = Options(params=module.Params(), config=module.BASE, name=arguments[0])
    options: Options[Any] = parse(
        Options[module.Params],  # type: ignore[name-defined]
        arguments[1:],
        f"study {arguments[0]}",
        default,
    )
    valid_name(options.name)
    if options.workers is not None and options.workers < 1:
        raise UserError(f"a study takes at least 1 worker; {options.workers} were asked for")
    if options.study_seed is not None and options.study_seed < 0:
        raise UserError(f"a study's seed is 0 or more; {options.study_seed} was given")
    return module, options


def study_of(arguments: Sequence[str], module: Any, options: Options[Any], seed: int, storage: str) -> Study:
    """Return the study that a command line declares, on its settings.

    Args:
        arguments: the command line behind ``study``.
        module: the file that declares the study.
        options: of the command line.
        seed: of the study.
        storage: address of Optuna's database.

    Raises:
        UserError: if it makes no sense.
        pydantic.ValidationError: if a setting's value does not fit.
    """
    study: Study = module.build_study(options.params, seed, storage)
    if study.total < 1:
        raise UserError(f"a study takes at least 1 trial; {study.total} were asked for")
    named, given = named_settings(arguments[1:]), options.config.flat()
    base = study.base.override({name: value for name, value in given.items() if name in named})
    drawn = [] if options.study_seed is not None else ["--study-seed", str(seed)]  # else the command draws another
    command = mask(shlex.join(["seqclf", "study", *arguments, *drawn]))
    study = study.with_base(base, named)
    return replace(study, notes={**study.notes, names.COMMAND: command})


def main(arguments: Sequence[str]) -> int:
    """Run the study that the command line names."""
    module, options = options_of(arguments)
    print(f"Opening the records of study {options.name!r} under {options.runs}.", flush=True)
    from studies.engine.ownership import owned
    from studies.engine.run_study import run_study
    from studies.engine.storage import open_storage, stored_seed

    paths = RunPaths(options.runs)
    storage = paths.storage_uri(options.storage)
    with owned(paths, options.name, storage):
        seed = options.study_seed
        if seed is None:
            seed = stored_seed(open_storage(storage), options.name)
        study = study_of(arguments, module, options, new_seed() if seed is None else seed, storage)
        return run_study(
            study,
            options.name,
            paths,
            storage=storage,
            tracking_uri=options.tracking_uri,
            workers=options.workers,
            hang_seconds=options.hang_seconds,
            ray=options.ray,
            token=options.token,
            report=options.report,
        )
