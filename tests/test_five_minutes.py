"""The README's first five minutes, typed as they stand there, on fewer texts."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(400)
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Type the README's command; return the folder of its records, and all that it said."""
    runs = tmp_path_factory.mktemp("five") / "runs"
    [command] = re.findall(r"^(make study DATA=synthetic TRIALS=3) ", README, flags=re.MULTILINE)
    short = "--data.limit 600 --train.epochs 1 --train.evals-per-epoch 1"
    return runs, make(*command.split()[1:], f"RUNS={runs}", f"ARGS={short}")


def make(*words: str) -> str:
    left_out = {"MLFLOW_TRACKING_URI", "SEQCLF_DATA", "SEQCLF_OPTUNA_URI", "NAME", "RUNS", "DATA", "ARGS"}
    of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # with which `make test` would have this one tell its folder
    environment = {name: value for name, value in os.environ.items() if name not in left_out | of_make}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_study_ends_with_the_card_that_the_readme_shows(typed: tuple[Path, str]) -> None:
    runs, said = typed
    [shown] = re.findall(r"^```\n(Study 'imdb' is complete.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    card = said[said.index("Study 'imdb' is complete") :].replace(f" RUNS={runs}", "")
    assert form(card) == form(shown)
    page = re.findall(r"page +file://(\S+)", card)[0]
    assert Path(page).stat().st_size > 10_000


def form(card: str) -> list[str]:
    """Return a card's lines without what differs from study to study: numbers, and where the page is."""
    lines = [re.sub(r"file:\S+", "file", line) for line in card.strip().splitlines()]
    lines = [re.sub(r"(  gain +).*", r"\1", line) for line in lines]
    return [re.sub(r"\d+ s |[\d.]+ min ", "TIME ", re.sub(r"0\.\d+|trial \d", "N", line)) for line in lines]


def test_the_model_answers(typed: tuple[Path, str]) -> None:
    runs, _ = typed
    [words] = re.findall(r'^make (predict NAME=imdb) TEXT="A superb film\."$', README, flags=re.MULTILINE)
    assert re.fullmatch(
        r"(positive|negative)\t0\.\d{4}\n", make(*words.split(), "TEXT=A superb film.", f"RUNS={runs}")
    )
