"""The Makefile as a user meets it: quoting, signals, and how .venv is made.

It is run for real, in a small project of its own: stub commands that print what reached them, and pins that name
one wheel made here, so that no network is needed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()
SETTINGS = re.search(r"^VARIABLES := (.*)$", MAKEFILE, re.MULTILINE)[1].split()

ECHO = """
import json, os, signal, sys, time

def stop(*_):
    os.write(1, b"interrupted\\n")
    os._exit(0)

signal.signal(signal.SIGINT, stop)
print(json.dumps({"argv": sys.argv[1:], "python": sys.executable}), flush=True)
if "wait" in sys.argv:
    time.sleep(60)
"""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what an outer make, conda or a caller would add to an inner one."""
    drop = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CONDA_DEFAULT_ENV", "WSL_DISTRO_NAME", *SETTINGS}
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    return {**kept, "PIP_NO_INDEX": "1", **changes}


def make(project: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words], cwd=project, env=environment(**changes), capture_output=True, text=True, timeout=100
    )


def reached(answer: subprocess.CompletedProcess[str]) -> dict:
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def wheel(project: Path, number: str) -> str:
    """Make a wheel of one module, and return the line that pins it."""
    file = project / f"pinned-{number}-py3-none-any.whl"
    info = f"pinned-{number}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pinned.py", f"number = {number!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pinned\nVersion: {number}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"pinned.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return f"./{file.name}\n"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A project in a folder with a space in its name, without .venv."""
    project = tmp_path / "a project"
    (project / "studies").mkdir(parents=True)
    (project / "seqclf_core").mkdir()
    (project / "Makefile").write_text(MAKEFILE)
    (project / "studies/__main__.py").write_text(ECHO)
    (project / "seqclf_core/predict.py").write_text(ECHO)
    (project / "requirements.lock").write_text(wheel(project, "1.0"))
    return project


@pytest.fixture
def project(bare: Path) -> Path:
    """The same with a .venv that counts as ready."""
    (bare / ".venv/bin").mkdir(parents=True)
    (bare / ".venv/bin/python").symlink_to(sys.executable)
    with (bare / "requirements.lock").open() as lock:
        (bare / ".venv/.pins").write_bytes(subprocess.check_output("cksum", stdin=lock))
    return bare


def test_make_alone_lists_every_target_and_variable(bare):
    listed = make(bare).stdout
    assert listed == make(bare, "help").stdout
    targets = re.search(r"^\.PHONY: (.*) venv$", MAKEFILE, re.MULTILINE)[1].split()
    assert re.findall(r"^  make (\w+)", listed, re.MULTILINE) == targets
    assert re.findall(r"^  ([A-Z]+)=", listed, re.MULTILINE) == SETTINGS


def test_only_what_the_user_sets_is_passed(project):
    assert reached(make(project, "study"))["argv"] == ["imdb"]
    words = ["STUDY=factors", "TRIALS=3", "WORKERS=2", "ARGS=--data.limit 2000 --train.epochs 1"]
    expected = ["factors", "--trials=3", "--workers=2", "--data.limit", "2000", "--train.epochs", "1"]
    assert reached(make(project, "study", *words))["argv"] == expected


def test_lists_of_trials_have_targets_of_their_own(project):
    words = ["BLOCKS=2", "FACTORS=model.pooling=last,mean model.loss=bce,cross_entropy", "RUNS=here"]
    expected = ["factors", "--blocks=2", f"--factors={words[1].removeprefix('FACTORS=')}", "--runs=here"]
    assert reached(make(project, "factors", *words))["argv"] == expected
    words = ["OF=my search", "BEST=2", "SEEDS=10", "NAME=again"]
    expected = ["finalists", "--name=again", "--of=my search", "--best=2", "--seeds=10"]
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
    assert reached(make(project, "predict", f"TEXT={text}"))["argv"] == [f"--text={text}"]
    assert reached(make(project, "predict", TEXT=text))["argv"] == [f"--text={text}"]
    assert not (project / "broken").exists()


def test_paths_with_spaces_arrive_whole(project):
    answer = reached(make(project, "study", "DATA=/my data/$x", "RUNS=it's here"))
    assert answer["argv"] == ["imdb", "--runs=it's here", "--data.source=/my data/$x"]


def test_a_misspelt_variable_is_refused(project):
    answer = make(project, "study", "TRIAL=40")
    assert answer.returncode == 2
    assert "unknown variable: TRIAL" in answer.stderr
    assert "TRIALS" in answer.stderr


def test_the_name_that_wsl_gives_a_computer_names_no_study(project):
    assert reached(make(project, "study", NAME="LAPTOP", WSL_DISTRO_NAME="Debian"))["argv"] == ["imdb"]
    assert reached(make(project, "study", "NAME=mine", WSL_DISTRO_NAME="Debian"))["argv"] == [
        "imdb",
        "--name=mine",
    ]


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
    assert reached(make(bare, "study", **conda))["argv"] == ["imdb"]
    assert not (bare / ".venv").exists()


# ---- .venv


def pinned(project: Path) -> str:
    """The version that is installed in .venv."""
    ask = "import pinned; print(pinned.number)"
    return subprocess.check_output([project / ".venv/bin/python", "-c", ask], text=True).strip()


def test_venv_is_made_once_and_follows_the_pins(bare):
    first = make(bare, "study", PYTHON=sys.executable)
    assert reached(first)["python"] == str(bare / ".venv/bin/python")
    assert "Setting up .venv" in first.stdout
    assert pinned(bare) == "1.0"
    assert len(make(bare, "study").stdout.splitlines()) == 1  # nothing but the command itself

    (bare / "requirements.lock").write_text(wheel(bare, "2.0"))
    starts = [
        subprocess.Popen(["make", "study"], cwd=bare, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = "".join(process.communicate()[0] for process in starts)
    assert [process.returncode for process in starts] == [0, 0]
    assert said.count("Bringing .venv up to date") == 1
    assert pinned(bare) == "2.0"

    (bare / "requirements.lock").write_text("nobody-has-this==1.0\n")
    for _ in range(2):  # what cannot be fetched leaves the old packages alone, and is said every time
        failed = make(bare, "study")
        assert failed.returncode == 2
        assert "run make again" in failed.stderr
        assert pinned(bare) == "2.0"


def test_an_interrupted_installation_starts_over(bare):
    state = bare / ".venv/.pins"
    start = environment(PYTHON=sys.executable)
    process = subprocess.Popen(["make", "study"], cwd=bare, env=start, start_new_session=True)
    while not (state.exists() and state.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (bare / ".venv/half.txt").touch()
    assert "Setting up .venv" in make(bare, "study").stdout
    assert not (bare / ".venv/half.txt").exists()
    assert pinned(bare) == "1.0"


def pretend(folder: Path, script: str) -> Mapping[str, str]:
    """Put a shell script in the place of every Python that make looks for; return the PATH to it."""
    folder.mkdir()
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("number", ["3.10", "3.14", "2.7"])
def test_a_python_that_does_not_fit_is_named(bare, tmp_path, number):
    answer = make(bare, "study", **pretend(tmp_path / "bin", f"echo {number}"))
    assert answer.returncode == 2
    assert "Python 3.11, 3.12 or 3.13 is needed" in answer.stderr
    assert f"python3 is {number}" in answer.stderr
    assert not (bare / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(bare, tmp_path):
    script = 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 3.12'
    answer = make(bare, "study", **pretend(tmp_path / "bin", script))
    assert answer.returncode == 2
    assert "apt install python3.12-venv" in answer.stderr
    assert not (bare / ".venv").exists()
