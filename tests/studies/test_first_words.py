"""Every command says something before it loads what takes seconds.

Run as a program, this file is the process that has loaded nothing yet, and forks one for each command.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import seqclf_core.cli
from studies.commands.__main__ import COMMANDS, run

HEAVY = {
    "torch", "mlflow", "pandas", "sklearn", "ray", "matplotlib", "datasets", "optuna", "alembic", "uvicorn",
    "optuna_dashboard",
}  # fmt: skip
"""Packages that take a second or more to load, on a machine that has not loaded them lately."""
ARGUMENTS = {
    "study": ["imdb"],
    "experiment": ["majority"],
    "publish": ["--study", "imdb"],
    "compare": ["--a", "imdb/0000", "--b", "imdb/0001"],
    "node": ["--ray", "127.0.0.1:1"],
}
DECLARES_WITH = {"study": {"optuna"}}
"""A study's file draws with Optuna, and its settings are read before anything is said."""


class FirstWords:
    """Takes the place of an output; at the first words it writes what is loaded by then, and ends the process."""

    def __init__(self, to: Path) -> None:
        self._to = to

    def write(self, text: str) -> int:
        if text.strip():
            self._to.write_text("\n".join([text.strip(), *sorted(HEAVY & set(sys.modules))]))
            os._exit(0)
        return len(text)

    def flush(self) -> None: ...


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return command -> what it says first, and the heavy packages that are loaded by then."""
    folder = tmp_path_factory.mktemp("first")
    command = [sys.executable, "-m", "tests.studies.test_first_words", folder]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"predict", "serve"}))
def test_something_is_said_before_anything_heavy_is_loaded(command: str, first: dict[str, list[str]]) -> None:
    said, *loaded = first[command]
    assert "rror" not in said
    assert set(loaded) <= DECLARES_WITH.get(command, set())


@pytest.mark.parametrize("command", ["predict", "serve"])
def test_so_is_that_there_is_no_model(command: str, first: dict[str, list[str]]) -> None:
    said, *loaded = first[command]
    assert (said.startswith("error: There is no"), loaded) == (True, [])


def first_words(arguments: list[str], folder: Path) -> list[str]:
    told = folder / arguments[0]
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            sys.stdout = sys.stderr = FirstWords(told)  # type: ignore[assignment]
            seqclf_core.cli.run_command(lambda: run(arguments))
        except BaseException:
            told.write_text(traceback.format_exc())
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    return told.read_text().splitlines()


if __name__ == "__main__":
    print(
        json.dumps({each: first_words([each, *ARGUMENTS.get(each, [])], Path(sys.argv[1])) for each in COMMANDS})
    )
