"""A small project of its own for the real Makefile: a command that prints what reached it, and pins that name one
wheel made here, so that no network is needed.
"""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()
SETTINGS = re.search(r"^VARIABLES := (.*)$", MAKEFILE, re.MULTILINE)[1].split()

ECHO = """
import json, os, signal, sys, time

def stop(*_):
    os.write(1, b"interrupted\\n")
    os._exit(0)


def main():
    signal.signal(signal.SIGINT, stop)
    print(json.dumps({"argv": sys.argv[1:], "python": sys.executable}), flush=True)
    if "wait" in sys.argv:
        time.sleep(60)
"""

BACKEND = '''
"""Builds this project without a package from anywhere: a wheel that points here and brings the command."""

import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "stub-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        for file, text in {
            "stub.pth": f"{pathlib.Path.cwd()}\\n",
            "stub-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: stub\\nVersion: 1.0\\n",
            "stub-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            "stub-1.0.dist-info/entry_points.txt": "[console_scripts]\\nseqclf = echo:main\\n",
            "stub-1.0.dist-info/RECORD": "",
        }.items():
            wheel.writestr(file, text)
    return name
'''

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "stub"
version = "1.0"
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


def bare_project(folder: Path) -> Path:
    """A project in a folder with a space in its name, without .venv."""
    project = folder / "a project"
    project.mkdir()
    (project / "Makefile").write_text(MAKEFILE)
    (project / "echo.py").write_text(ECHO)
    (project / "studies/commands").mkdir(parents=True)
    (project / "studies/commands/__main__.py").write_text("import echo\n\necho.main()\n")
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "requirements.lock").write_text(wheel(project, "1.0"))
    (project / "requirements-torch.lock").write_text("pinned\n")  # which the lock has installed already
    return project


def ready_project(folder: Path) -> Path:
    """The same with a .venv that counts as ready."""
    project = bare_project(folder)
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    command = project / ".venv/bin/seqclf"
    command.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, '.')\nfrom echo import main\nmain()\n")
    command.chmod(0o755)
    pins = "cat requirements.lock requirements-torch.lock pyproject.toml | cksum > .venv/.pins"
    subprocess.run(pins, shell=True, cwd=project, check=True)
    return project
