"""A power cut under a study's command: all that acted is gone, and RUNS is what the disk had of it."""

import random
import shutil
from pathlib import Path

from tests.power.acknowledged import closed, missing
from tests.power.disk import Disk
from tests.studies.engine.study_command import Command


def look(command: Command, disk: Disk, place: Path, draw: random.Random | None = None) -> list[str]:
    """Say what a power cut right now would take that was acknowledged; the command goes on as if nothing had been.

    Args:
        command: a study.
        disk: of its RUNS.
        place: where to write what would be left; nothing is there yet.
        draw: of what the disk wrote beyond what it was asked for.
    """
    with command.held():
        known = closed(command.runs)
        disk.cut(place, draw)
    return missing(place, known)


def cut_power(command: Command, disk: Disk, place: Path, draw: random.Random | None = None) -> list[str]:
    """Let a power cut happen, and say what it took that was acknowledged; the command can be started again."""
    with command.held() as held:
        known = closed(command.runs)
        disk.cut(place, draw)
        for process in held:
            process.kill()
    command.end()
    seen = shutil.copytree(place, place.with_name(f"{place.name}-seen"))  # whoever reads a database writes to it
    lost = missing(seen, known)
    disk.restore(place)
    return lost
