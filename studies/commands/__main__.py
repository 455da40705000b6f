"""The one command, ``seqclf``: it finds the module of the command that is named, and hands it the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

COMMANDS = {
    "study": "run a study, or continue it, and write its report",
    "record": "do the whole recipe of the record, or what is missing of it",
    "experiment": "do one tracked experiment, or continue it",
    "ui": "serve the MLflow user interface on what is recorded",
    "dashboard": "serve Optuna's dashboard on the studies that are recorded",
    "report": "write tables, curves and pages of what is recorded so far",
    "publish": "put a finished study into a repository, as tables and the pages they make",
    "verify": "make published pages again from their tables, and compare",
    "compare": "compare two trained models on the same reviews",
    "champion": "register the best finished model",
    "serve": "answer HTTP requests with the champion",
    "predict": "score texts with the best model",
    "head": "start a cluster on this machine",
    "node": "let this machine work for a cluster",
    "data": "fetch the original IMDB archive into data/imdb",
    "sync": "send to MLflow what is recorded and not there yet",
    "clean": "say what could be freed, and free it",
    "doctor": "say where the stores disagree, and repair them",
}
"""Name -> what it does. Each is a module of this package, whose ``main`` takes the arguments behind the name."""

NO_HOME = "/nonexistent"
"""Home of users without one, by Debian's custom."""


def run(arguments: Sequence[str]) -> int | None:
    """Run the command that the arguments name.

    Raises:
        UserError: if there is no such command; names those there are.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: seqclf COMMAND [options]; seqclf COMMAND --help says more\n\n{listed()}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}. There are:\n{listed()}")
    result: int | None = import_module(f"studies.commands.{name}").main(rest)
    return result


def listed() -> str:
    """Return the commands there are, one a line."""
    return "\n".join(f"  {name:11} {what}" for name, what in COMMANDS.items())


def speak_utf8() -> None:
    """Start this process again in UTF-8, if its locale is another one.

    pyarrow, tokenizers, safetensors and SQLite take every path for UTF-8, whatever the locale, and records are to
    be the same on every machine.
    """
    if sys.getfilesystemencoding().lower() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"  # its helper processes have it too
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def settle_home() -> None:
    """Name a home folder that is not there for a user who has none: MLflow cannot be loaded without one.

    That is a user whose number the machine does not know, as in a container, without HOME. A folder for temporary
    files is no home: others may have put something into it.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME


def check_utf8(arguments: Sequence[str]) -> None:
    """Refuse arguments that are no UTF-8, such as the name of a folder that was made in a Latin-1 locale.

    Raises:
        UserError: if there is one; names it.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            shown = argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise UserError(
                f"the argument '{shown}' is not UTF-8, which paths, names and texts must be. Rename the folder, "
                "or write the text in UTF-8"
            ) from error


def main() -> None:
    """Run the command that this process was started with."""
    speak_utf8()
    settle_home()

    def checked() -> int | None:
        check_utf8(sys.argv[1:])
        return run(sys.argv[1:])

    run_command(checked)


if __name__ == "__main__":
    main()
