"""Asks whether a pinned package has a known vulnerability: ``python -m tests.audit`` (``make audit``).

pip-audit asks, from a temporary folder of its own: .venv stays as requirements.lock says. It takes the network, to
fetch pip-audit and to ask the advisory service; without one it says so. Status 0: none is known; 1: some are;
2: nobody could be asked.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

LOCK = Path(__file__).parents[1] / "requirements.lock"
SERVICE = "https://api.osv.dev/v1/query"
AUDITOR = "pip-audit==2.10.1"
SECONDS = 900
"""For fetching it, and for asking; each takes a minute or so."""


def pins(lock: Path) -> list[str]:
    """Return what a lock pins on any platform: ``name==version``, without conditions and comments."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def reach(service: str, timeout: float) -> None:
    """Ask the advisory service about one package.

    Raises:
        UserError: if it does not answer as such a service does.
    """
    question = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}
    try:
        answer = requests.post(service, json=question, timeout=timeout)
        answer.raise_for_status()
        answer.json()
    except (requests.RequestException, ValueError) as error:
        raise UserError(
            f"No package was audited: the advisory service {service} cannot be reached ({type(error).__name__}). "
            "Run make audit where there is a network."
        ) from error


def run(command: Sequence[str], **environment: str) -> str:
    """Run a command and return the last thing it complained about, nothing where all went well."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        return f"no end after {SECONDS} s"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def ask(wanted: Sequence[str], service: str) -> list[dict[str, Any]]:
    """Return what pip-audit finds for pins: each with ``name``, ``version`` and ``vulns``, or a ``skip_reason``.

    Raises:
        UserError: if it cannot be fetched, or does not get through.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
        failed = run([*pip, "install", "--quiet", "--no-input", "--target", f"{folder}/auditor", AUDITOR])
        if failed:
            raise UserError(f"No package was audited: pip could not fetch {AUDITOR} ({failed}).")
        (folder / "pins.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        failed = run(
            [sys.executable, "-m", "pip_audit", "--requirement", f"{folder}/pins.txt",
             "--no-deps", "--disable-pip", "--progress-spinner", "off",
             "--vulnerability-service", "osv", "--osv-url", service,
             "--format", "json", "--output", f"{folder}/found.json"],
            PYTHONPATH=f"{folder}/auditor",
        )  # fmt: skip
        if not (folder / "found.json").exists():  # its status is the same where it finds something
            raise UserError(f"No package was audited: pip-audit did not get through ({failed}).")
        found: list[dict[str, Any]] = json.loads((folder / "found.json").read_text(encoding="utf-8"))[
            "dependencies"
        ]
    return found


def tell(found: Sequence[Mapping[str, Any]]) -> int:
    """Print what was found and return the status that says it."""
    skipped = [each for each in found if "skip_reason" in each]
    bad = [(each, vulnerability) for each in found for vulnerability in each.get("vulns", [])]
    for each in skipped:
        print(f"{each['name']} was not looked up: {each['skip_reason']}")
    for each, vulnerability in bad:
        names = ", ".join([vulnerability["id"], *vulnerability.get("aliases", [])])
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"{each['name']} {each['version']}: {names}; mended in {fixed}")
    count = len({each["name"] for each, _ in bad})
    asked = len(found) - len(skipped)
    print(f"{count or 'None'} of {asked} pinned packages {'have' if count > 1 else 'has'} a known vulnerability.")
    return 1 if bad else 2 if skipped else 0


def main() -> int:
    """Audit the pins."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lock", type=Path, default=LOCK, help="the file of pins")
    parser.add_argument("--service", default=SERVICE, help="an advisory service that speaks OSV's protocol")
    parser.add_argument("--timeout", type=float, default=15.0, help="seconds for its first answer")
    options = parser.parse_args()
    reach(options.service, options.timeout)
    return tell(ask(pins(options.lock), options.service))


if __name__ == "__main__":
    run_command(main)
