"""A small project of its own for the real Makefile: stub commands that print what reached them, and pins that name
one wheel made here, so that no network is needed.
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

signal.signal(signal.SIGINT, stop)
print(json.dumps({"argv": sys.argv[2:], "python": sys.executable}), flush=True)
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


def bare_project(folder: Path) -> Path:
    """A project in a folder with a space in its name, without .venv."""
    project = folder / "a project"
    (project / "studies/commands").mkdir(parents=True)
    (project / "experiments/serving").mkdir(parents=True)
    (project / "Makefile").write_text(MAKEFILE)
    (project / "studies/commands/__main__.py").write_text(ECHO)
    (project / "experiments/serving/predict.py").write_text(ECHO)
    (project / "requirements.lock").write_text(wheel(project, "1.0"))
    (project / "requirements-torch.lock").write_text("pinned\n")  # which the lock has installed already
    return project


def ready_project(folder: Path) -> Path:
    """The same with a .venv that counts as ready."""
    project = bare_project(folder)
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    pins = "cat requirements.lock requirements-torch.lock | cksum > .venv/.pins"
    subprocess.run(pins, shell=True, cwd=project, check=True)
    return project
