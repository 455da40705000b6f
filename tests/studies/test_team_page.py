"""docs/team.md and compose.yaml: what they say exists, and the job script is a script."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from experiments.tracking.servers import INSTALL
from studies.commands.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    """Return language and text of each block of code."""
    return re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_commands_targets_and_files_of_the_page_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in [text for _, text in blocks()] + re.findall(r"`([^`\n]+)`", PAGE):
        for target in re.findall(r"^make (\w+)|\bmake (\w+)", text):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
        for command in re.findall(r"\bseqclf (\w+)", text):
            assert command in COMMANDS, command
        for file in re.findall(r"requirements-\w+\.lock|compose\.yaml|[\w-]*faults\.md", text):
            assert (ROOT / file).exists() or (ROOT / "docs" / file).exists(), file
    assert INSTALL.split()[-1] in PAGE


def test_the_job_script_is_a_script() -> None:
    [script] = [text for language, text in blocks() if language == "bash"]
    assert script.startswith("#!/bin/bash\n#SBATCH ")
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_servers_listen_on_this_machine_alone_and_have_no_password_of_their_own() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    ports = re.findall(r"ports: (.*)", text)
    assert len(ports) == 3
    assert all(re.fullmatch(r'\["127\.0\.0\.1:\d+:\d+"\]', each) for each in ports)
    assert "PASSWORD:?" in text
    assert not re.search(r"(PASSWORD|ACCESS_KEY): \"?[^\s$\"]", text)
