"""Studies on a cluster under faults, counted: ``python -m tests.cluster_faults [--times 3] [--only node frozen]``.

Every study is a list of fixed trials on two nodes of this machine, each with a cache of its own and one of them
without a sight of RUNS. It is struck while both nodes are at work, started again wherever that ended it, and
compared trial by trial with the same study of one worker process that nobody disturbed.

CI does ``--only none``.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import write_reviews
from tests.studies.cluster.cluster import LocalCluster, actors, family, kill_head_alone, stop_hard
from tests.studies.engine.study_command import Command, children_in_mlflow, trials

START_SECONDS = 600.0
"""Within which both nodes are at work, on a machine that is busy with other things."""
ORPHAN_SECONDS = 90.0
"""After which no slot may be left of a study that is gone."""


class ListCommand(Command):
    """A list of four or eight fixed trials, by as many workers as are free."""

    def __init__(self, reviews: Path, runs: Path, blocks: int, more: Sequence[str]) -> None:
        super().__init__(reviews, runs, 4 * blocks)
        at = self.arguments.index("imdb")
        self.arguments = [
            *self.arguments[:at], "factors", "--name", "test", "--runs", str(runs), "--blocks", str(blocks),
            "--study-seed", "0",
            "--data.source", str(reviews), "--train.epochs", "6", "--train.evals-per-epoch", "3",
            "--train.patience", "99", "--no-report", *more,
        ]  # fmt: skip


@dataclass
class Row:
    """What came of one study."""

    fault: str
    trials: int = 0
    times: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    different: int = 0
    orphans: int = 0
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """A study at work on a cluster."""

    cluster: LocalCluster
    command: ListCommand
    alone: ListCommand
    """The same study with worker processes."""
    row: Row
    slots: list[psutil.Process] = field(default_factory=list)
    """Every slot that was ever seen."""

    def see(self) -> list[psutil.Process]:
        """Return the slots that are there, and remember them."""
        there = [process for node in self.cluster.nodes for process in actors(node)]
        self.slots = [*{*self.slots, *there}]
        return there

    def at_work(self) -> None:
        """Wait until both nodes do runs and these have gone on."""
        assert self.command.process
        self.command.wait_for(
            lambda: len(self.see()) >= 2 or self.command.process.poll() is not None, START_SECONDS
        )
        if self.command.process.poll() is None:
            self.command.wait_for_news(3)
            self.see()

    def restarted(self, command: ListCommand | None = None) -> None:
        """Start the study again, here or as another command."""
        if command:
            self.command = command
        self.command.start()


Strike = Callable[[Scene], None]


def nothing(scene: Scene) -> None:
    """Let it be."""


def kill_node(scene: Scene) -> None:
    stop_hard(scene.cluster.nodes[-1])
    scene.cluster.add(local=True)


def freeze_node(scene: Scene, seconds: float = 120.0) -> None:
    processes = family(scene.cluster.nodes[-1])
    frozen = actors(scene.cluster.nodes[-1])
    for process in processes:
        process.suspend()
    time.sleep(seconds)
    for process in processes:
        process.resume()
    _, alive = psutil.wait_procs(frozen, timeout=ORPHAN_SECONDS)
    scene.row.orphans += len(alive)
    stop_hard(scene.cluster.nodes[-1])
    scene.cluster.add(local=True)


def kill_owner(scene: Scene) -> None:
    assert scene.command.process
    scene.command.process.kill()
    scene.command.end()
    scene.restarted()


def stop_owner(scene: Scene) -> None:
    """Freeze the owner for longer than its slots wait, and wake it."""
    assert scene.command.process
    owner = psutil.Process(scene.command.process.pid)
    owner.suspend()
    time.sleep(75)
    owner.resume()


def kill_head(scene: Scene) -> None:
    kill_head_alone(scene.cluster.head)
    code, output = scene.command.end(timeout=180)
    if code == 0 or "Traceback" in output:
        scene.row.remarks.append(f"without a head it ended with status {code}: {' '.join(output.split())[-300:]}")
    if "the same command goes on" not in output.split("Ctrl-C")[1].split(".", 1)[1]:
        scene.row.remarks.append(f"it did not say that the head is gone: {' '.join(output.split())[-300:]}")
    scene.restarted(scene.alone)


def kill_everything(scene: Scene) -> None:
    assert scene.command.process
    for process in scene.command.everybody():
        process.kill()
    for node in [*scene.cluster.nodes, scene.cluster.head]:
        stop_hard(node)
    scene.command.end()
    scene.restarted(scene.alone)


def to_processes(scene: Scene) -> None:
    assert scene.command.process
    scene.command.process.terminate()
    scene.command.end()
    scene.restarted(scene.alone)


def fill_store(scene: Scene) -> None:
    """Put more into the object store than it holds, while the study goes on."""
    script = (
        "import sys, numpy\nfrom pathlib import Path\nfrom studies.cluster.machines import join\n"
        "join(sys.argv[1], Path(sys.argv[2]))\nimport ray\n"
        "kept = [ray.put(numpy.ones(5_000_000)) for _ in range(8)]\nimport time\ntime.sleep(5)\n"
    )
    arguments = [sys.executable, "-c", script, scene.cluster.address, str(scene.cluster.token)]
    psutil.Popen(arguments, cwd=Path(__file__).parents[1]).wait(120)


FAULTS: dict[str, tuple[str, Strike]] = {
    "none": ("none", nothing),
    "node": ("a node killed", kill_node),
    "frozen": ("a node frozen for two minutes and woken", freeze_node),
    "owner": ("the owner killed", kill_owner),
    "asleep": ("the owner frozen for 75 s and woken", stop_owner),
    "head": ("the head killed; ended with processes", kill_head),
    "all": ("all killed; ended with processes", kill_everything),
    "processes": ("begun on a cluster, ended with processes", to_processes),
    "cluster": ("begun with processes, ended on a cluster", nothing),
    "store": ("the object store overfull", fill_store),
}


def play(name: str, reviews: Path, folder: Path, blocks: int, undisturbed: Path) -> Row:
    """Run one study under one fault and count what came of it."""
    began = time.monotonic()
    fault, strike = FAULTS[name]
    row = Row(fault, trials=4 * blocks)
    folder.mkdir()
    cluster = LocalCluster(folder)
    try:
        cluster.add()
        cluster.add(local=True)
        there = ["--ray", cluster.address, "--token", str(cluster.token), "--workers", "2"]
        on_cluster = ListCommand(reviews, folder / "runs", blocks, there)
        alone = ListCommand(reviews, folder / "runs", blocks, ["--workers", "1"])
        scene = Scene(cluster, on_cluster, alone, row)
        if name == "cluster":
            alone.start()
            alone.wait_for_news(2)
            alone.process.terminate()  # type: ignore[union-attr]
            alone.end()
        on_cluster.start()
        scene.at_work()
        if on_cluster.process and on_cluster.process.poll() is None:
            strike(scene)
            row.times += 1
        code, output = scene.command.end(timeout=1800)
        if code != 0 or "Traceback" in output:
            row.remarks.append(f"it ended with status {code}: {' '.join(output.split())[-400:]}")
        _, alive = psutil.wait_procs(scene.slots, timeout=ORPHAN_SECONDS)
        row.orphans += len(alive)
    except AssertionError as error:
        row.remarks.append(f"AssertionError: {error}"[:500])
    finally:
        cluster.stop()
    try:
        count(row, folder / "runs", undisturbed)
    except (AssertionError, KeyError, sqlite3.Error) as error:  # it did not come so far as to record anything
        row.lost = row.trials
        row.remarks.append(f"nothing to count: {type(error).__name__}: {error}"[:500])
    row.seconds = time.monotonic() - began
    return row


def count(row: Row, runs: Path, undisturbed: Path) -> None:
    """Compare what Optuna and MLflow say with the study that nobody disturbed."""
    found, expected = trials(runs), trials(undisturbed)
    row.lost = row.trials - sum(trial.state.is_finished() for trial in found)
    row.doubled = max(0, len(found) - row.trials)
    row.stuck = sum(not trial.state.is_finished() for trial in found)
    for one, other in zip(found, expected, strict=False):
        same = (one.params, one.state, one.values, one.intermediate_values)
        row.different += same != (other.params, other.state, other.values, other.intermediate_values)
    known = children_in_mlflow(runs)
    row.lost += sum(known.get(trial.number, ("", 0))[0] != "FINISHED" for trial in found)


def main() -> int:
    """Play every fault so many times; status 1 where anything was lost, doubled, stuck, different or orphaned."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_faults")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=1, help="of four trials each")
    parser.add_argument("--only", nargs="+", default=list(FAULTS), choices=list(FAULTS), metavar="NAME")
    parser.add_argument("--keep", type=Path, help="folder in which everything stays")
    options = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    columns = ("trials", "times", "lost", "doubled", "stuck", "different", "orphans")
    clean = True
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        (folder / "reviews").mkdir(parents=True)
        write_reviews(folder / "reviews" / "train.jsonl", 360, seed=1)
        write_reviews(folder / "reviews" / "test.jsonl", 80, seed=2)
        undisturbed = ListCommand(folder / "reviews", folder / "undisturbed", options.blocks, ["--workers", "1"])
        undisturbed.start()
        code, output = undisturbed.end(timeout=1800)
        assert code == 0, output
        print(f"| fault | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}", flush=True)
        for fault in options.only:
            rows = [
                play(fault, folder / "reviews", folder / f"{fault}{each}", options.blocks, undisturbed.runs)
                for each in range(options.times)
            ]
            sums = [sum(getattr(row, column) for row in rows) for column in columns]
            print(f"| {rows[0].fault} | {' | '.join(map(str, sums))} |", flush=True)
            for row in rows:
                print(*(f"  {row.seconds:.0f} s: {remark}" for remark in row.remarks), sep="\n", file=sys.stderr)
                clean &= not row.remarks
            clean &= not any(sums[2:])
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
