"""Run a study, or go on with it: ``python -m studies imdb`` (``make study``)."""

import importlib
import pkgutil
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

import studies
from experiments.tracking import names
from experiments.tracking.paths import RunPaths, mask
from seqclf_core.cli import named_settings, run_command
from seqclf_core.errors import UserError
from studies.engine.run_study import Options, owned, run_study

if TYPE_CHECKING:
    from studies.study import Study


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
    """Import the module that declares a study: its ``Question``, ``BASE`` and ``declare``.

    Raises:
        UserError: if there is none of this name; names those that exist.
    """
    known = declared()
    if name not in known:
        listed = "\n".join(f"  {each:12} {line}" for each, line in known.items())
        raise UserError(f"There is no study {name!r}. Name one of these first:\n{listed}")
    return importlib.import_module(f"studies.{name}")


def parse(arguments: Sequence[str]) -> "tuple[Study, Options[Any]]":
    """Return the study that a command line names, on its settings, and how to run it.

    Raises:
        UserError: if it names what does not exist or makes no sense.
        pydantic.ValidationError: if a setting's value does not fit.
        SystemExit: after --help, or where an option is unknown or no number where one belongs.
    """
    if list(arguments[:1]) in ([], ["-h"], ["--help"]):
        arguments = ["imdb", *(arguments or ["--help"])]
    module = load_study(arguments[0])
    options = tyro.cli(
        Options[module.Params],  # type: ignore[name-defined]
        prog=f"python -m studies {arguments[0]}",
        args=arguments[1:],
        default=Options(question=module.Params(), config=module.BASE, name=arguments[0]),
    )
    paths = RunPaths(options.runs)
    study: Study = module.build_study(options.question, options.optuna_uri(paths))
    if study.total < 1 or (options.workers is not None and options.workers < 1):
        raise UserError("a study takes at least 1 trial and 1 worker")
    named, given = named_settings(arguments[1:]), options.config.flat()
    base = study.base.override({name: value for name, value in given.items() if name in named})
    study = study.with_base(base, named)
    command = mask(shlex.join(["python", "-m", "studies", *arguments]))
    return replace(study, notes={**study.notes, names.COMMAND: command}), options


def main() -> int:
    """Run the study that the command line names."""
    study, options = parse(sys.argv[1:])
    paths = RunPaths(options.runs)
    with owned(paths, options.name):
        return run_study(study, options)


if __name__ == "__main__":
    run_command(main)
