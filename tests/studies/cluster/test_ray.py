"""A real cluster on this machine: what is killed, frozen or unlike the others costs nothing that was recorded."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

import seqclf_core
from experiments.tracking.sync import sync_once
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from studies.cluster import machines
from studies.cluster.machines import LOOPBACK, answers, join, make_token, split_address
from studies.engine.processes import Processes
from studies.engine.scheduler import Scheduler
from studies.engine.storage import explained, open_storage, open_study
from studies.study import Study
from tests.postgres import PostgreSQL
from tests.studies.cluster.cluster import LocalCluster, actors, family, free_port, stop_hard
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all, scores
from tests.studies.engine.study_command import ROOT, Command, trials

# Not importorskip: Ray reads the environment when it is imported, and ``join`` sets it first.
pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `cluster` is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="clusters are tested on Linux"),
]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A head that finds a node dead within seconds, and two nodes, of which one does not share RUNS."""
    impatient = {"period_ms": "500", "timeout_ms": "1000", "failure_threshold": "3", "initial_delay_ms": "1000"}
    os.environ.update({f"RAY_health_check_{name}": value for name, value in impatient.items()})
    folder = tmp_path_factory.mktemp("cluster")
    before = Path.cwd()
    os.chdir(folder)  # whose folder slots would otherwise look into for code
    started = LocalCluster(folder)
    try:
        started.add()
        started.add(local=True)
        yield started
    finally:
        started.stop()
        os.chdir(before)
        for name in impatient:
            del os.environ[f"RAY_health_check_{name}"]


def executor_on(cluster: LocalCluster, slots: int, folder: Path, orphan_seconds: float = 60.0):  # type: ignore[no-untyped-def]
    module = join(cluster.address, cluster.token)
    return module.RayExecutor(slots, cluster.address, folder, orphan_seconds=orphan_seconds)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.1)


@pytest.fixture
def slow(study: Study) -> Study:
    """The same study with runs of some seconds, evaluated often."""
    changes = {"train.epochs": 4, "train.evals_per_epoch": 4, "train.batch_size": 2, "train.patience": 99}
    return study.with_base(study.base.override(changes), frozenset())


@pytest.mark.timeout(300)
def test_a_node_that_dies_and_one_that_freezes_change_no_curve(
    cluster: LocalCluster, open_scheduler: OpenScheduler, slow: Study, tmp_path: Path
) -> None:
    """Begun with processes, resumed on Ray while nodes die and freeze, ended with processes: one study."""
    whole = open_scheduler(slow, name="whole")
    run_all(whole)

    owner = open_scheduler(slow, executor=Processes(1, tmp_path / "workers.log"))
    run_all(owner, most=12)  # leaves a trial unfinished, with a checkpoint
    owner.executor.close()

    executor = executor_on(cluster, 2, tmp_path / "mark", orphan_seconds=8.0)
    owner = open_scheduler(slow, executor=executor)
    with owner.recording():

        def step_until(condition: Callable[[], bool]) -> None:
            wait_until(lambda: condition() or not owner.step(0.2))

        def far(evaluations: int) -> bool:
            return sum(len(run.recorder.progress) for run in owner.running.values()) >= evaluations

        step_until(lambda: len(owner.running) == 2 and executor.slots == 2 and far(4))
        assert {actor.about.shared for actor in executor._actors} == {True, False}
        checkpoints = {run.job.key: (run.job.folder / "checkpoint.safetensors") for run in owner.running.values()}
        step_until(lambda: all(path.exists() for path in checkpoints.values()))

        doomed = cluster.nodes[1]
        stop_hard(doomed)
        step_until(lambda: any("lost" in line for line in executor.notices))
        assert all(run.deaths == 0 for run in owner.running.values())
        cluster.add(local=True)
        step_until(lambda: executor.slots == 2 and not executor._waiting)

        frozen = cluster.nodes[-1]
        orphans = actors(frozen)
        assert orphans
        for process in family(frozen):
            process.suspend()
        lost = len(executor.notices)
        step_until(lambda: len(executor.notices) > lost)
        assert all(run.deaths == 0 for run in owner.running.values())
        for process in family(frozen):
            process.resume()
        assert not psutil.wait_procs(orphans, timeout=20)[1], "a slot of a node that was given up went on"
        owner.stopping = True
        while owner.step(0.2):
            pass
    executor.close()
    executor.close()  # as a study's command does
    left = [process for node in cluster.nodes for process in actors(node)]
    assert not psutil.wait_procs(left, timeout=20)[1], "slots outlived their study"

    owner = open_scheduler(slow)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 4
    assert scores(owner) == scores(whole)
    assert journals_agree(owner)
    for trial in range(4):
        folder = owner.paths.work(f"test/{trial:04d}")
        assert {path.name for path in folder.rglob("*") if path.is_file()} >= {"events.json", "test.parquet"}


@pytest.mark.timeout(180)
@pytest.mark.skipif(find_spec("psycopg") is None, reason="the extra `team` is not installed")
def test_a_database_that_restarts_and_an_mlflow_that_is_away_change_no_curve(
    cluster: LocalCluster, open_scheduler: OpenScheduler, slow: Study, tmp_path: Path
) -> None:
    slow = replace(slow, total=2)
    whole = open_scheduler(slow, total=2, name="whole")
    run_all(whole)
    paths = whole.paths
    data = load_corpus(slow.base.data, paths.cache).summary
    with PostgreSQL.started(tmp_path) as server:
        uri = server.create("optuna")

        def on_cluster() -> tuple[Any, Scheduler]:
            executor = executor_on(cluster, 2, tmp_path / "mark")
            opened = open_study(open_storage(uri), "test", slow, data)
            owner = Scheduler(
                name="test", study=slow, optuna=opened, paths=paths, executor=executor, tags={}, patience=60.0
            )
            return executor, owner

        def until_it_restarts(owner: Scheduler) -> None:
            with explained(), owner.recording():
                for step in count():
                    assert owner.step(0.2), "it ended before the server did"
                    if step > 4 and sum(len(run.recorder.progress) for run in owner.running.values()) >= 2:
                        server.restart()

        executor, owner = on_cluster()
        with pytest.raises(UserError, match=r"cannot be written.*same command again"):
            until_it_restarts(owner)
        executor.close()
        away = sync_once(paths.runs, f"http://127.0.0.1:{free_port()}")
        assert away.unsent
        assert not away.entries

        executor, owner = on_cluster()
        try:
            run_all(owner)
            assert outcomes(owner) == ["COMPLETE"] * 2
            assert scores(owner) == scores(whole)
            assert journals_agree(owner)
        finally:
            executor.close()


@pytest.mark.timeout(120)
def test_slots_that_differ_or_have_no_cache_are_dropped_and_told(
    cluster: LocalCluster,
    open_scheduler: OpenScheduler,
    study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(Path(seqclf_core.__file__).parent, other / "seqclf_core")
    with (other / "seqclf_core" / "losses.py").open("a") as file:
        file.write("# another version\n")
    (other / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "real = metadata.version\n"
        "metadata.version = lambda name: '0.0.1' if name == 'tokenizers' else real(name)\n"
    )
    blocked = tmp_path / "file"
    blocked.write_text("")
    alone = LocalCluster(tmp_path, cluster.token)
    try:
        with monkeypatch.context() as environment:
            environment.setenv("PYTHONPATH", str(other))
            alone.add()
        alone.add(cache=blocked / "cache")
        good = alone.add()
        executor = executor_on(alone, 3, tmp_path / "mark")
        owner = open_scheduler(replace(study, total=4), executor=executor)
        try:
            run_all(owner)
            told = "\n".join(executor.notices)
            assert "tokenizers is 0.0.1 there" in told
            assert "code is" in told
            assert f"{blocked}" in told
            assert executor.slots == 1
            assert outcomes(owner) == ["COMPLETE"] * 4
        finally:
            executor.close()

        stop_hard(good)
        executor = executor_on(alone, 2, tmp_path / "mark")
        owner = open_scheduler(study, total=5, executor=executor)
        try:
            with pytest.raises(UserError, match="No slot of the cluster can do the study's runs"):
                run_all(owner)
        finally:
            executor.close()
    finally:
        alone.stop()


@pytest.mark.timeout(120)
def test_slots_end_when_their_owner_is_killed_and_processes_go_on(
    cluster: LocalCluster, reviews_folder: Path, tmp_path: Path
) -> None:
    options = ["--train.epochs", "2"]
    there = ["--ray", cluster.address, "--token", str(cluster.token)]
    command = Command(reviews_folder, tmp_path / "runs", 2, [*options, *there])
    command.start()
    command.wait_for_news(2)
    left = [process for node in cluster.nodes for process in actors(node)]
    assert left
    assert command.process is not None
    command.process.kill()
    command.end()
    assert not psutil.wait_procs(left, timeout=20)[1], "slots outlived their owner"
    command = Command(reviews_folder, tmp_path / "runs", 2, options)
    command.start()
    code, output = command.end()
    assert code == 0, output
    assert {trial.state.name for trial in trials(command.runs)} <= {"COMPLETE", "PRUNED"}


def test_a_cluster_listens_on_the_loopback_address_and_asks_for_the_token(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    ours = {process.pid for node in [cluster.head, *cluster.nodes] for process in family(node)}
    listening = [
        (each.laddr.ip, each.laddr.port)
        for each in psutil.net_connections("tcp")
        if each.pid in ours and each.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {ip for ip, _ in listening} <= {LOOPBACK, "::ffff:127.0.0.1", "::1"}
    assert stat.S_IMODE(cluster.token.stat().st_mode) == 0o600

    wrong = tmp_path / "wrong"
    make_token(wrong)
    script = (
        "import sys\nfrom pathlib import Path\nfrom studies.cluster.machines import join\n"
        "from seqclf_core.errors import UserError\n"
        "try:\n    join(sys.argv[1], Path(sys.argv[2]))\nexcept UserError as error:\n    print('told:', error)\n"
    )
    command = [sys.executable, "-c", script, cluster.address, str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "told: " in done.stdout, done.stderr
    assert "refuses the token" in done.stdout


def test_a_wrong_address_a_bad_token_and_no_ray_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    make_token(token)
    with socket.create_server((LOOPBACK, 0)) as taken:
        closed = f"{LOOPBACK}:{free_port()}"
        assert answers(f"{LOOPBACK}:{taken.getsockname()[1]}")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"no cluster answers at .*seqclf head"):
        join(closed, token)
    assert time.monotonic() - began < 5
    for wrong in ("here", "10.0.0.5", "http://10.0.0.5:6379", "10.0.0.5:x", "10.0.0.5:99999"):
        with pytest.raises(UserError, match="expected HOST:PORT"):
            split_address(wrong)
    token.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        join(closed, token)
    with pytest.raises(UserError, match="--token"):
        join(closed, tmp_path / "missing")
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"requirements-cluster\.lock"):
        join(closed, token)


@pytest.mark.parametrize("unsaid", [False, True])
def test_a_process_that_ray_ends_leaves_a_last_word(cluster: LocalCluster, unsaid: bool) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom studies.cluster.machines import prepare\n"
        "prepare(sys.argv[1], Path(sys.argv[2]))\nfrom studies.cluster.ray_executor import LastWords\n"
        f"words = LastWords('told')\n{'words.unsay()' if unsaid else ''}\nos.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, cluster.address, str(cluster.token)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9
    assert done.stderr == ("" if unsaid else "told\n")
