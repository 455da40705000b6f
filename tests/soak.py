"""Studies under faults at random moments; what was lost, doubled, stuck or different is counted: ``make soak``.

    python -m tests.soak [--trials 100] [--seed 0] [--only worker owner] [--out docs/faults.md]
    python -m tests.soak --long 1000            (instead: memory and time of one long study)

Whole commands with one worker each, on small reviews, some at a time. One with one worker draws the same trials
whenever it is run, so that each disturbed one is compared, trial by trial, with one that nobody disturbed.
"""

import argparse
import os
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import psutil

from tests import long_study
from tests.faults import SCENARIOS, UNDISTURBED, Over, Scenario
from tests.faulty_server import faulty_server
from tests.studies.engine.study_command import ROOT, Command, children_in_mlflow, disorder, trials

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
INTRODUCTION = """# Faults, and what came of them

Written by `{command}` at commit {commit}, in {minutes:.1f} minutes on {processors} processors; seed {seed};
{load}.
Each study has one worker, and is started again wherever a fault ended it. *Lost*: trials that did not end.
*Doubled*: trials beyond those asked for, or with two runs in MLflow. *Stuck*: trials left running. *Different*:
trials whose settings, outcome or curve are not those of the same study without a fault. Faults come at random
moments; the distances between them are drawn from the seed. A tracking server fails for as long as the study runs,
where it does not say for a minute; `make sync` sends afterwards what it did not take.
"""
CLEAN = (
    "In every study Optuna and MLflow agree on all trials, times are in order, and `make doctor` finds nothing."
)


@dataclass
class Row:
    """What came of a scenario."""

    fault: str
    trials: int
    times: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    different: int = 0
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.different or self.remarks)


# ---- doing it


def run(scenario: Scenario, reviews: Path, runs: Path, total: int, seed: int) -> Row:
    """Run a study under a fault to its end, in a folder; what its tracking server has is in ``tracked(runs)``."""
    began = time.monotonic()
    row = Row(scenario.fault, max(3, round(total * scenario.share)))
    draw = random.Random(f"{seed} {scenario.name}")
    server = faulty_server(tracked(scenario, runs), scenario.server) if scenario.server else nullcontext()
    with server as served:
        address = ["--tracking-uri", served[0]] if served else []
        mending = Timer(scenario.outage, served[1]) if served and scenario.outage else None
        if mending:
            mending.daemon = True
            mending.start()
        more = ["--workers", "1", "--train.epochs", "2", "--study-seed", "0", *scenario.more, *address]
        command = Command(reviews, runs, row.trials, more)
        scenario.prepare(command)
        command.start()
        strike(scenario, command, row, draw)
        code, output = command.end(timeout=900)
        if code != 0 or "Traceback" in output:
            row.remarks.append(f"it ended with status {code}: {' '.join(output.split())[-300:]}")
        row.remarks += scenario.after(command)
        if served:
            row.times = 1
            mending.join() if mending else served[1]()
            sync = [sys.executable, "-m", "studies.commands", "sync", "--runs", str(runs), *address]
            done = subprocess.run(sync, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                row.remarks.append(f"make sync: {' '.join((done.stdout + done.stderr).split())[-300:]}")
    row.seconds = time.monotonic() - began
    return row


def strike(scenario: Scenario, command: Command, row: Row, draw: random.Random) -> None:
    """Strike a command at random moments as often as the scenario says, and start it again where that ended it."""
    times = max(1, round(row.trials * scenario.times)) if scenario.times else 0
    while row.times < times and lives_for(command, draw.uniform(0, scenario.pause)):
        try:
            scenario.strike(command, draw)
        except Over:
            break
        except psutil.NoSuchProcess:  # it ended by itself just before
            continue
        except (AssertionError, OSError, psutil.Error, sqlite3.Error) as error:
            row.remarks.append(f"{type(error).__name__}: {error}")
        row.times += 1
        if command.process and command.process.poll() is not None:
            command.start()


def lives_for(command: Command, seconds: float) -> bool:
    """Wait; say whether the command is still there."""
    assert command.process
    try:
        command.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def tracked(scenario: Scenario, runs: Path) -> Path:
    """Return the folder of the MLflow that a study is recorded in."""
    return runs.with_name(f"{runs.name}-server") if scenario.server else runs


# ---- counting


def count(row: Row, runs: Path, server: Path, undisturbed: Path) -> None:
    """Compare what Optuna, MLflow and an undisturbed study say."""
    found = trials(runs)
    expected = trials(undisturbed)[: row.trials]
    row.lost = row.trials - sum(trial.state.is_finished() for trial in found[: row.trials])
    row.doubled = max(0, len(found) - row.trials)
    try:
        known = children_in_mlflow(server)
    except AssertionError as error:
        row.doubled += 1
        row.remarks.append(str(error))
        known = {}
    row.stuck = sum(not trial.state.is_finished() for trial in found)
    for trial in found:
        status = known.get(trial.number, ("missing", 0))[0]
        if status != STATUS.get(trial.state.name):
            row.remarks.append(f"trial {trial.number}: Optuna says {trial.state.name}, MLflow {status}")
    for one, other in zip(found, expected, strict=False):
        same = (one.params, one.state, one.values, one.intermediate_values)
        row.different += same != (other.params, other.state, other.values, other.intermediate_values)
    row.remarks += disorder(runs, server)
    doctor = [sys.executable, "-m", "studies.commands", "doctor", "--runs", str(runs)]
    doctor += ["--tracking-uri", f"sqlite:///{server.absolute() / 'mlflow.db'}"]
    examined = subprocess.run(doctor, cwd=ROOT, capture_output=True, text=True, check=False)
    if examined.returncode != 0:
        row.remarks.append("make doctor: " + " ".join((examined.stdout + examined.stderr).split())[:300])


# ---- telling


def write(rows: Sequence[Row], out: Path, options: argparse.Namespace, seconds: float) -> None:
    """Write the table."""
    columns = {"fault": "fault", "trials": "trials", "times": "times tried"}
    columns |= {name: name for name in ("lost", "doubled", "stuck", "different")}
    table = [[*columns.values()], ["---"] * len(columns)]
    table += [[str(getattr(row, name)) for name in columns] for row in rows]
    command = ["python", "-m", "tests.soak", "--trials", str(options.trials), "--seed", str(options.seed)]
    command += ["--only", *options.only] if options.only else []
    introduction = INTRODUCTION.format(
        command=shlex.join(command), commit=commit(), minutes=seconds / 60, processors=os.cpu_count(),
        seed=options.seed, load=load(),
    )  # fmt: skip
    remarks = [f"- {row.fault}: {remark}" for row in rows for remark in row.remarks]
    lines = [introduction, *(f"| {' | '.join(line)} |" for line in table), "", *(remarks or [CLEAN])]
    put(out, lines, kept(out)[1])


def kept(out: Path) -> tuple[str, str]:
    """Return what stands in the file: the table of faults, and what is told of a long study."""
    content = out.read_text(encoding="utf-8") if out.exists() else ""
    before, heading, after = content.partition(long_study.HEADING)
    return before.rstrip("\n"), heading + after.rstrip("\n")


def put(out: Path, *parts: Sequence[str] | str) -> None:
    """Write the parts of the file, each a text or its lines."""
    texts = [part if isinstance(part, str) else "\n".join(part) for part in parts]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n\n".join(text for text in texts if text) + "\n", encoding="utf-8")


def load() -> str:
    """Say how busy the machine has been in the last quarter of an hour."""
    return f"{os.getloadavg()[2]:.0f} processes at work on average in the last quarter of an hour"


def long(reviews: Path, runs: Path, options: argparse.Namespace) -> int:
    """Run one long study and tell of it; status 1 where something grew or became slower."""
    looks, wrong = long_study.observe(reviews, runs, options.long)
    wrong += long_study.faults(looks) if len(looks) == long_study.STEPS else []
    how = (
        f"Written by `python -m tests.soak --long {options.long}` at commit {commit()}, in "
        f"{looks[-1].seconds / 60 if looks else 0:.1f} minutes; {load()}."
    )
    put(options.out, kept(options.out)[0], long_study.section(looks, wrong, how))
    print(f"{options.out} is written", *wrong, sep="\n")
    return 1 if wrong else 0


def commit() -> str:
    """Return the commit that is checked out, and whether files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"]
    return (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    )


def main() -> int:
    """Run all scenarios, two at a time; status 1 where anything was lost, doubled, stuck or different."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="of the longest studies")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    names = [each.name for each in SCENARIOS]
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--long", type=int, help="trials of one long study, done instead of all the others")
    parser.add_argument("--lanes", type=int, default=2, help="studies at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "faults.md")
    options = parser.parse_args()
    from tests.conftest import write_reviews  # torch

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    began = time.monotonic()
    chosen = [UNDISTURBED, *(each for each in SCENARIOS if not options.only or each.name in options.only)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.lanes) as lanes:
        folder = Path(name)
        (folder / "reviews").mkdir()
        write_reviews(folder / "reviews" / "train.jsonl", 360, seed=1)
        write_reviews(folder / "reviews" / "test.jsonl", 80, seed=2)
        if options.long:
            return long(folder / "reviews", folder / "long", options)
        places = [(each, folder / each.name) for each in chosen]
        begun = [
            lanes.submit(run, each, folder / "reviews", place, options.trials, options.seed)
            for each, place in places
        ]
        rows = []
        for (each, place), future in zip(places, begun, strict=True):
            rows.append(future.result())
            count(rows[-1], place, tracked(each, place), folder / UNDISTURBED.name)
            print(f"{time.monotonic() - began:5.0f} s  {rows[-1]}", flush=True)
            write(rows, options.out, options, time.monotonic() - began)  # what is known, should this be ended
    write(rows, options.out, options, time.monotonic() - began)
    print(f"{options.out} is written")
    return 0 if all(row.clean for row in rows) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
