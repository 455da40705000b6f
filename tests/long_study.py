"""A study of many tiny trials: what each of its processes takes, from its first hundred trials to its last.

    python -m tests.soak --long 1000

Time is that of the processors and not of the clock, so that other work on the machine counts little. Each process
is looked at after every hundredth trial, for as long as it lives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from experiments.tracking.paths import RunPaths
from studies.engine.cleanup import is_closed
from tests.studies.engine.study_command import Command

HEADING = "## A thousand trials in one study"
STEPS = 10
"""Moments at which the processes are looked at."""
ROLES = {"studies.commands": "scheduler", "seqclf_core.worker": "worker", "tracking.follow": "sender to MLflow"}
MORE = 5
"""Trials beyond those that are looked at, so that all processes still live at the last look."""
GROWTH_MB = 10.0
"""What a process may have grown by, from the first look to the last: what a page of its database cache takes."""
SLOWER = 1.25
"""How much more time of a processor the second half may take than the first."""


@dataclass(frozen=True)
class Look:
    """What the processes of a study had taken when so many trials had ended."""

    trials: int
    seconds: float
    """Since it began."""
    memory: dict[str, float]
    """Role -> MB that are the process's own."""
    work: dict[str, float]
    """Role -> seconds of a processor."""


def observe(reviews: Path, runs: Path, total: int) -> tuple[list[Look], list[str]]:
    """Run the study and return what was seen after each tenth of its trials, and what was wrong with its end."""
    more = ["--workers", "1", "--train.epochs", "1", "--study-seed", "0", "--train.batch-size", "64"]
    command = Command(reviews, runs, total + MORE, more)
    began, looks, paths = time.monotonic(), [], RunPaths(runs)
    command.start()
    assert command.process
    assert command.process.stdout
    said: list[str] = []
    reader = Thread(target=said.extend, args=[command.process.stdout])  # a full pipe would hold it up
    reader.start()
    ended = 0
    while command.process.poll() is None:
        while ended < total and is_closed(paths.journal(f"test/{ended:04d}")):  # one worker: they end in order
            ended += 1
            if ended % (total // STEPS) == 0:
                looks.append(look(command, ended, time.monotonic() - began))
        time.sleep(0.02)
    reader.join()
    code = command.process.wait()
    whole = code == 0 and len(looks) == STEPS
    return looks, [] if whole else [f"it ended with status {code}: {' '.join(said)[-300:]}"]


def look(command: Command, trials: int, seconds: float) -> Look:
    """Look at all processes of a study."""
    memory, work = {}, {}
    for process in command.everybody():
        own = command.process and process.pid == command.process.pid  # a copy of a process, by whose name it goes
        said = next(iter(ROLES)) if own else " ".join(process.cmdline())
        if role := next((role for part, role in ROLES.items() if part in said), None):
            memory[role] = process.memory_full_info().uss / 1e6
            times = process.cpu_times()
            work[role] = times.user + times.system
    return Look(trials, seconds, memory, work)


def faults(looks: list[Look]) -> list[str]:
    """Say what grew, and what became slower, after the first tenth of the trials."""
    found = []
    first, middle, last = looks[0], looks[len(looks) // 2], looks[-1]
    for role in ROLES.values():
        grown = last.memory[role] - first.memory[role]
        if grown > GROWTH_MB:
            found.append(f"{role}: its memory grew by {grown:.0f} MB")
        early = (middle.work[role] - first.work[role]) / (middle.trials - first.trials)
        late = (last.work[role] - middle.work[role]) / (last.trials - middle.trials)
        if late > SLOWER * early:
            found.append(
                f"{role}: {1000 * early:.0f} ms a trial in the first half, {1000 * late:.0f} ms in the second"
            )
    return found


def section(looks: list[Look], wrong: list[str], how: str) -> list[str]:
    """Return the lines that tell of it."""
    roles = list(ROLES.values())
    table = [["trials", *(f"{role}, MB" for role in roles), *(f"{role}, ms a trial" for role in roles)]]
    table.append(["---"] * len(table[0]))
    before = Look(0, 0.0, {}, dict.fromkeys(roles, 0.0))
    for each in looks:
        took = [1000 * (each.work[role] - before.work[role]) / (each.trials - before.trials) for role in roles]
        memory = [f"{each.memory[role]:.0f}" for role in roles]
        table.append([str(each.trials), *memory, *(f"{milliseconds:.0f}" for milliseconds in took)])
        before = each
    allowed = (
        f"After the first tenth no process grew by more than {GROWTH_MB:.0f} MB, and none took more than "
        f"{SLOWER} times as long for a trial in its second half as in its first."
    )
    meaning = (
        "*MB*: memory that is the process's own. *ms a trial*: time of a processor, since the row above;\n"
        "the first row includes the start of each process."
    )
    return [
        HEADING, "", how, meaning, "",
        *(f"| {' | '.join(row)} |" for row in table), "", *([f"- {each}" for each in wrong] or [allowed]),
    ]  # fmt: skip
