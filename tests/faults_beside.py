"""What `make soak` does beside a study: to the power, files, the process that feeds MLflow; and other commands."""

import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psutil

from experiments.tracking.paths import RunPaths
from tests import forked
from tests.power import cut
from tests.power.disk import Disk
from tests.studies.engine.study_command import ROOT, Command, children_in_mlflow, trials

TEN_YEARS = 10 * 365 * 24 * 3600
OTHER_TRIALS = 10


# ---- a clock that steps


def dates_of_page(command: Command) -> list[str]:
    """Say which times in the report of a study, made when it has ended, are not those of the last hours."""
    out, now = command.runs.with_name(f"{command.runs.name}-report"), datetime.now(UTC)
    made = run_command(command, "report", "--out", str(out))
    said, _ = made.communicate(timeout=200)
    if made.returncode != 0:
        return [f"make report: {' '.join(said.split())[-300:]}"]
    page = (out / "test" / "index.html").read_text(encoding="utf-8")
    years = {int(year) for year in re.findall(r"\b\d{1,2} [A-Z][a-z]{2} (\d{4})\b", page)}
    wrong = [] if years == {now.year} else [f"the page has dates of {sorted(years)}"]
    runs = pd.read_csv(out / "test" / "runs.csv", parse_dates=["started", "ended"])
    for name in ("started", "ended"):
        far = runs[(runs[name] - pd.Timestamp(now)).abs() > pd.Timedelta(hours=2)]
        wrong += [f"{key} {name} far from now, by the page" for key in far["key"]]
    return wrong


# ---- other commands


def run_command(command: Command, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command on the same RUNS."""
    return forked.Popen(
        [sys.executable, "-m", "studies.commands", *arguments, "--runs", str(command.runs)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


# ---- a power cut


def prepare_disk(command: Command) -> None:
    command.runs.mkdir()
    command.disk = Disk.of(command.runs, command.runs.with_name(f"{command.runs.name}-power"))
    if command.disk is None:
        raise RuntimeError("a power cut needs Linux and a compiler for C")
    command.environment = command.disk.environment


def cut_power(command: Command, draw: random.Random) -> None:
    """Every other time the disk wrote more than it was asked for, of some files and not of others."""
    assert command.disk
    place = command.runs.with_name(f"{command.runs.name}-left")
    lost = cut.cut_power(command, command.disk, place, draw if draw.random() < 0.5 else None)
    shutil.rmtree(place.with_name(f"{place.name}-seen"))
    if lost:
        raise AssertionError(f"a power cut took what was acknowledged: {'; '.join(lost)}")


# ---- the process that sends runs to MLflow


def kill_deliverer(command: Command, draw: random.Random) -> None:
    assert command.process
    for child in psutil.Process(command.process.pid).children():
        if "experiments.tracking.follow" in " ".join(child.cmdline()):
            child.kill()


# ---- files


def clean_up(command: Command, draw: random.Random) -> None:
    """Let `make clean` free what it may, or remove the cache as a person might."""
    if draw.random() < 0.5:
        shutil.rmtree(command.runs / "cache", ignore_errors=True)
        return
    cleaning = run_command(command, "clean", "--yes")
    said, _ = cleaning.communicate(timeout=100)
    if cleaning.returncode != 0 or "Traceback" in said:
        raise AssertionError(f"make clean: {' '.join(said.split())[-300:]}")


def remove_files(command: Command, draw: random.Random) -> None:
    """Remove some of what a study writes while it runs: what is recorded of a run that has ended stays."""
    paths = RunPaths(command.runs)
    unfinished = [path for path in paths.journals.glob("test/*.jsonl") if b'"closed"' not in path.read_bytes()]
    folders = [paths.work(paths.key_of(path)) for path in unfinished if path.stem != "study"]
    for path in draw.sample([*unfinished, *folders, paths.cache, *paths.logs], 2) if unfinished else []:
        journal = paths.journals / "test" / f"{path.stem}.jsonl"
        if journal.exists() and b'"closed"' in journal.read_bytes():  # it has ended meanwhile
            continue
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


# ---- another study


def start_other_study(command: Command) -> None:
    command.other = Command(command.reviews, command.runs, OTHER_TRIALS, command.more, name="other")
    command.other.start()


def kill_other_study(command: Command, draw: random.Random) -> None:
    assert command.other
    assert command.other.process
    if command.other.process.poll() is None:
        for process in command.other.everybody():
            process.kill()
        command.other.end()
        command.other.start()


def end_of_other_study(command: Command) -> list[str]:
    assert command.other
    code, output = command.other.end(timeout=900)
    if code != 0 or "Traceback" in output:
        return [f"the other study ended with status {code}: {' '.join(output.split())[-300:]}"]
    states = [trial.state.is_finished() for trial in trials(command.runs, "other")]
    known = children_in_mlflow(command.runs, "other")
    whole = states == [True] * OTHER_TRIALS and sorted(known) == list(range(OTHER_TRIALS))
    return [] if whole else [f"the other study has {states} in Optuna, {known} in MLflow"]


# ---- the champion


def kill_champion(command: Command, draw: random.Random) -> None:
    """At any moment of its work, of which the first seconds are imports."""
    champion = run_command(command, "champion")
    time.sleep(draw.uniform(0, 9))
    champion.kill()
    said, _ = champion.communicate()
    if "Traceback" in said:
        raise AssertionError(f"make champion: {' '.join(said.split())[-300:]}")


def end_of_champion(command: Command) -> list[str]:
    """Register the best; a second call finds it, no version is there twice, and it answers."""
    wrong = []
    for arguments, wanted in (
        (["champion"], "is "), (["champion"], "is already"), (["predict", "--text", "superb"], ""),
    ):  # fmt: skip
        done = run_command(command, *arguments)
        said, _ = done.communicate(timeout=200)
        if done.returncode != 0 or wanted not in said:
            wrong.append(f"make {arguments[0]}: {' '.join(said.split())[-300:]}")
    with closing(sqlite3.connect(Path(command.runs / "mlflow.db"))) as database:
        twice = """select run_id, value from model_versions v join model_version_tags t using (name, version)
                   where t.key = 'seqclf.digest' group by run_id, value having count(*) > 1"""
        wrong += [f"the model {digest[:12]} is registered twice" for _, digest in database.execute(twice)]
    return wrong
