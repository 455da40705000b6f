"""The Makefile as a user meets it: what it lists and refuses, quoting, signals. Run for real, in a small one."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.make_project import MAKEFILE, SETTINGS, bare_project, environment, make, reached, ready_project


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return bare_project(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return ready_project(tmp_path)


def test_make_alone_lists_every_target_and_variable(bare):
    listed = make(bare).stdout
    assert listed == make(bare, "help").stdout
    targets = re.search(r"^\.PHONY: (.*) venv$", MAKEFILE, re.MULTILINE)[1].split()
    also = listed.partition("  also: ")[2].split()
    assert sorted([*re.findall(r"^  make (\w+)", listed, re.MULTILINE), *also]) == sorted(targets)
    lines = listed.splitlines()
    assert len(lines) <= 24, "it does not fit a screen"
    assert max(map(len, lines)) <= 80
    assert re.findall(r"^  ([A-Z]+)=", make(bare, "variables").stdout, re.MULTILINE) == SETTINGS


def test_every_target_refuses_what_it_does_not_take(project):
    taken = dict(re.findall(r"^TAKES_(\w+) :=(.*)$", MAKEFILE, re.MULTILINE))
    for target, variables in taken.items():
        for variable in set(SETTINGS) - {*variables.split(), "ARGS", "PYTHON"}:
            answer = make(project, target, f"{variable}=1")
            assert answer.returncode == 2, (target, variable)
            assert f"make {target} does not take {variable}" in answer.stderr


def test_a_study_named_by_its_file_takes_its_variables(project):
    words = ["STUDY=factors", "FACTORS=model.pooling=last,max", "SEED=7"]
    expected = ["study", "factors", "--factors=model.pooling=last,max", "--study-seed=7"]
    assert reached(make(project, "study", *words))["argv"] == expected


def test_only_what_the_user_sets_is_passed(project):
    assert reached(make(project, "study"))["argv"] == ["study", "imdb"]
    words = ["STUDY=factors", "BLOCKS=3", "WORKERS=2", "ARGS=--data.limit 2000 --train.epochs 1"]
    expected = ["study", "factors", "--blocks=3", "--workers=2", "--data.limit", "2000", "--train.epochs", "1"]
    assert reached(make(project, "study", *words))["argv"] == expected


def test_lists_of_trials_have_targets_of_their_own(project):
    words = ["BLOCKS=2", "FACTORS=model.pooling=last,mean model.loss=bce,cross_entropy", "RUNS=here"]
    expected = ["study", "factors", "--blocks=2", f"--factors={words[1].removeprefix('FACTORS=')}", "--runs=here"]
    assert reached(make(project, "factors", *words))["argv"] == expected
    words = ["OF=my search", "BEST=2", "SEEDS=10", "NAME=again"]
    expected = ["study", "finalists", "--name=again", "--of=my search", "--best=2", "--seeds=10"]
    assert reached(make(project, "finalists", *words))["argv"] == expected


@pytest.mark.parametrize(
    "text",
    [
        """It's "fine", costs $5 (or $HOME), 100% `true` \\ and #1; $(shell touch broken) $(open {a,b} * ?""",
        "two\nlines",
        "--help",
        "ends with a space ",
        "",
        "ends with \\",
        "日本語 é",
    ],
)
def test_a_text_arrives_as_it_was_typed(project, text):
    assert reached(make(project, "predict", f"TEXT={text}"))["argv"] == ["predict", f"--text={text}"]
    assert reached(make(project, "predict", TEXT=text))["argv"] == ["predict", f"--text={text}"]
    assert not (project / "broken").exists()


def test_paths_with_spaces_arrive_whole(project):
    answer = reached(make(project, "study", "DATA=/my data/$x", "RUNS=it's here"))
    assert answer["argv"] == ["study", "imdb", "--runs=it's here", "--data.source=/my data/$x"]


def test_a_misspelt_variable_is_refused(project):
    answer = make(project, "study", "TRIAL=40")
    assert answer.returncode == 2
    assert "unknown variable: TRIAL" in answer.stderr
    assert "TRIALS" in answer.stderr


def test_the_name_that_wsl_gives_a_computer_names_no_study(project):
    assert reached(make(project, "study", NAME="LAPTOP", WSL_DISTRO_NAME="Debian"))["argv"] == ["study", "imdb"]
    named = reached(make(project, "study", "NAME=mine", WSL_DISTRO_NAME="Debian"))
    assert named["argv"] == ["study", "imdb", "--name=mine"]


@pytest.mark.parametrize("whom", ["everybody", "make"])
def test_a_signal_ends_the_command_and_leaves_nobody(project, whom):
    """Ctrl-C goes to everybody in the terminal, a kill of make to make alone."""
    process = subprocess.Popen(
        ["make", "study", "ARGS=wait"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()
    if whom == "everybody":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    rest, _ = process.communicate(timeout=30)  # ends when the last process that holds the pipe has ended
    assert process.returncode < 0
    if whom == "everybody":
        assert rest == "interrupted\n"  # once, and make has nothing to add


def test_conda_s_own_environment_is_used_as_it_is(bare, tmp_path):
    (tmp_path / "my conda/bin").mkdir(parents=True)
    (tmp_path / "my conda/bin/python").symlink_to(sys.executable)
    conda = {"CONDA_DEFAULT_ENV": "seqclf", "CONDA_PREFIX": str(tmp_path / "my conda")}
    assert reached(make(bare, "study", **conda))["argv"] == ["study", "imdb"]
    assert not (bare / ".venv").exists()
