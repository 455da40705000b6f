"""The pins and the environments that are made from them; what every command imports."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from studies.commands.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("seqclf_core", "experiments", "studies", "reports")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HASHED = (ROOT / "requirements.lock").read_text()
TORCH = Requirement((ROOT / "requirements-torch.lock").read_text().strip())
LOCK = [Requirement(line.removesuffix(" \\")) for line in re.findall(r"^[\w].*$", HASHED, re.MULTILINE)] + [TORCH]
MAKEFILE = (ROOT / "Makefile").read_text()
DATA_SUFFIXES = {".html", ".md", ".css", ".js", ".cpp", ".hpp"}


EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def direct() -> list[Requirement]:
    return [
        Requirement(each) for each in PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]
    ]


def locked(file: str) -> dict[str, str]:
    """Return name -> version of every pin in a lock."""
    lines = (ROOT / file).read_text().splitlines()
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", "\n".join(lines), re.MULTILINE)
    return {canonicalize_name(name): pinned for name, pinned in pins}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_lock_of_an_extra_is_what_it_asks_for_and_changes_no_other_pin(extra):
    pins, others = locked(f"requirements-{extra}.lock"), locked("requirements.lock")
    for wanted in map(Requirement, EXTRAS[extra]):
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), wanted
    assert {name: version for name, version in pins.items() if others.get(name, version) != version} == {}


# ---- the pins


def test_every_pin_is_exact_and_names_no_address():
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) and not pin.url for pin in LOCK)
    names = [canonicalize_name(pin.name) for pin in LOCK]
    assert len(names) == len(set(names))


def test_every_pin_but_torch_has_the_hashes_of_its_files():
    pins = re.split(r"^(?=\w)", HASHED, flags=re.MULTILINE)[1:]
    assert len(pins) == len(LOCK) - 1 > 100
    for pin in pins:
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", pin, re.MULTILINE), pin.splitlines()[0]
    assert "torch" not in [pin.name for pin in LOCK[:-1]]


def test_the_pins_are_what_the_project_asks_for():
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in LOCK}
    for wanted in direct():
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted


def test_the_pins_are_what_is_installed():
    here = {pin.name: pin.specifier for pin in LOCK if pin.marker is None or pin.marker.evaluate()}
    assert {name: version(name) for name, pin in here.items() if not pin.contains(version(name))} == {}


def test_everything_imported_is_asked_for():
    """A package that is only there because another one brings it may be gone tomorrow."""
    provided = packages_distributions()
    asked = {
        canonicalize_name(each.name)
        for each in [*direct(), *(Requirement(each) for extra in EXTRAS.values() for each in extra)]
    }
    missing = {}
    files = [file for package in (*PACKAGES, "tests") for file in (ROOT / package).rglob("*.py")]
    for file in [
        file for file in files if file.parent.name != "peers"
    ]:  # the bench makes these a place of their own
        own = {*PACKAGES, "tests", *(each.stem for each in (ROOT / "tests").rglob("*.py"))}
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {name.split(".")[0] for name in names} - own - sys.stdlib_module_names:
                if not asked & {canonicalize_name(each) for each in provided.get(name, [])}:
                    missing[name] = file.name
    assert missing == {}


def test_conda_installs_the_same():
    lines = [line.strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    dependencies = lines[lines.index("dependencies:") + 1 :]
    python = PYPROJECT["project"]["requires-python"]
    torch = f"- pytorch {TORCH.specifier}"
    assert dependencies == [f"- python {python}", "- pip", torch, "- pip:", "- -r requirements.lock"]
    assert f"name: {PYPROJECT['project']['name']}" in lines  # the Makefile knows the environment by this name


# ---- the command


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_answers_at_once(command):
    """Without torch and other libraries that take seconds to import."""
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "studies.commands", command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = answer.stderr.splitlines()
    assert answer.returncode == 0, [line for line in lines if not line.startswith("import time:")]
    assert answer.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in lines}
    assert not imported & {"torch", "mlflow", "datasets", "sklearn", "pandas"}


def test_make_and_the_command_know_the_same_names():
    called = re.findall(r"\$\(SEQCLF\) (\w+)", MAKEFILE)
    assert set(called) == set(COMMANDS)


def test_a_command_that_does_not_exist_is_told_with_those_that_do():
    answer = subprocess.run(
        [sys.executable, "-m", "studies.commands", "stduy"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert "there is no command 'stduy'" in answer.stderr
    assert "  study " in answer.stderr


def test_installed_it_works_from_any_folder(tmp_path):
    """As a wheel, from another folder, without the current folder on Python's path."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    pip += ["--ignore-installed"]  # else pip takes away the one that these tests run with
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("pyproject.toml", *PACKAGES):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    subprocess.run([*pip, "--no-build-isolation", "--prefix", tmp_path / "there", copy], check=True)
    [site] = (tmp_path / "there/lib").glob("python*/site-packages")
    assert {each.name for each in site.iterdir() if each.is_dir() and not each.name.endswith(".dist-info")} == {
        *PACKAGES
    }
    for package in PACKAGES:  # templates and sources of kernels come along
        files = {each.relative_to(ROOT) for each in (ROOT / package).rglob("*") if each.suffix in DATA_SUFFIXES}
        assert all((site / each).exists() for each in files if not str(each).startswith("reports/imdb")), package
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    answer = subprocess.run(
        [tmp_path / "there/bin/seqclf", "clean", "--runs", tmp_path / "runs"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Nothing was removed" in answer.stdout
