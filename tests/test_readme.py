"""What the README says exists: targets, settings, files, experiments; its code runs."""

import csv
import re
from pathlib import Path

from experiments.catalog import experiments
from reports import frames
from seqclf_core.config import RunConfig
from tests.experiments.serving.served import seqclf

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_command_is_a_target_with_variables_that_exist() -> None:
    commands = re.findall(r"(?:`|^)make ([a-z-]+)([^`\n#]*)", README, flags=re.MULTILINE)
    assert len(commands) > 20
    variables = re.findall(r"^VARIABLES := (.*)", MAKEFILE, flags=re.MULTILINE)[0].split()
    for target, arguments in commands:
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target
        for variable in re.findall(r"\b([A-Z]+)=", arguments):
            assert variable in variables, variable


def test_every_setting_and_experiment_exists() -> None:
    known = RunConfig().flat()
    flags = re.findall(r"--((?:data|model|train)\.[a-z-]+)", README)
    fields = re.findall(r"`((?:data|model|train)\.[a-z_]+)`", README)
    assert flags
    assert {name.replace("-", "_") for name in [*flags, *fields]} <= known.keys()
    named = set(re.findall(r"make experiment NAME=([a-z_]+)", README))
    assert named - {"both_directions"} <= set(experiments())  # that one is the reader's to write


def test_help_lists_every_setting() -> None:
    done = seqclf("study", "imdb", "--help")
    listed = re.findall(r"--([a-z][\w.-]+)", done.stdout)
    assert RunConfig().flat().keys() <= {name.replace("-", "_") for name in listed}


def test_every_link_leads_somewhere() -> None:
    links = [
        link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith(("http", "../../actions/"))
    ]
    assert "docs/report.png" in links
    for link in links:
        assert (ROOT / link).exists(), link


def test_its_notebook_names_what_exists() -> None:
    *_, notebook = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    for function in re.findall(r"frames\.(\w+)\(", notebook):
        assert callable(getattr(frames, function))


def test_its_table_says_what_each_score_is() -> None:
    """A linear model on the LSTMs' own reviews stands beside them, and published ones are told by their method."""
    for row in (
        "NBSVM with bigrams, on the same 21,415 reviews as the LSTMs",
        "sequence autoencoder (SA-LSTM), Dai & Le 2015 | 92.76",
        "virtual adversarial training, Miyato et al. 2017 | 94.09",
    ):
        assert row in README
    words = " ".join(README.split())
    assert "finalists of a search cannot be told apart" in words
    assert "first trial came from a block of an earlier factors study" in words
    assert "At the settings of `transfer/0008`" in words


def test_it_says_how_often_the_published_runs_were_scored_on_the_test_split() -> None:
    scored = 0
    for file in (ROOT / "reports" / "imdb").glob("*/runs.csv"):
        with file.open(encoding="utf-8", newline="") as table:
            scored += sum(bool(row["test/accuracy"]) for row in csv.DictReader(table))
    assert f"the runs published here scored it {scored} times" in README
