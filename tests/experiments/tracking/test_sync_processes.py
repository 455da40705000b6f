"""MLflow ends up with the same, once, whatever happens to syncs and owners on the way. Real processes."""

import multiprocessing
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from experiments.tracking.sync_process import ROOT, start_sync
from tests import forked
from tests.experiments.tracking.journal_samples import everything_in, record_study, record_trial


@pytest.fixture
def paths(own_tracker) -> RunPaths:
    return own_tracker


def in_mlflow(paths: RunPaths) -> dict[str, object]:
    return everything_in(paths.tracking_uri())


@pytest.fixture(scope="module")
def processes():
    """Processes that start with MLflow imported already, so that a kill hits the sync and not the import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["experiments.tracking.client", "mlflow.store.tracking.sqlalchemy_store"])
    first = context.Process(target=int)
    first.start()
    first.join()
    return context


def test_killed_at_any_moment_and_repeated_it_ends_the_same(paths, tmp_path, empty_database, processes):
    record_study(paths, trials=4)
    undisturbed = RunPaths(tmp_path / "undisturbed")
    shutil.copytree(paths.journals, undisturbed.journals)
    shutil.copytree(paths.runs / "work", undisturbed.runs / "work")
    shutil.copy(empty_database, undisturbed.runs / "mlflow.db")
    sync_once(undisturbed.runs)

    moments = random.Random(0)
    for _ in range(15):
        process = processes.Process(target=sync_once, args=(paths.runs,))
        process.start()
        process.join(moments.uniform(0, 0.3))
        process.kill()
        process.join()
    assert not sync_once(paths.runs).unsent
    assert in_mlflow(paths) == in_mlflow(undisturbed)


def test_killed_while_the_database_is_made_it_is_made_anew(tmp_path, processes):
    paths = RunPaths(tmp_path)
    record_trial(paths, "imdb/0000", parent="imdb/none")
    for size in (100_000, 500_000):  # of the 950,000 bytes that it has in the end
        process = processes.Process(target=sync_once, args=(paths.runs,))
        process.start()
        while max(_size(paths.runs / name) for name in ("mlflow.db", "mlflow.db.new")) < size:
            assert process.is_alive()
            time.sleep(0.001)
        process.kill()
        process.join()
    assert not sync_once(paths.runs).unsent
    assert set(in_mlflow(paths)) == {"imdb/0000"}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_two_at_once_write_nothing_twice(paths, tmp_path, processes):
    record_study(paths, trials=3)
    both = [processes.Process(target=sync_once, args=(paths.runs,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    found = in_mlflow(paths)
    assert set(found) == {"imdb/study", "imdb/0000", "imdb/0001", "imdb/0002"}
    assert all(len(history) == 3 for history in [found["imdb/0000"]["metrics"]["val/loss"]])


def test_beside_an_owner_it_sends_to_the_last(paths):
    sync = start_sync(paths.runs)
    record_study(paths, trials=2)
    assert sync.stop(timeout=60)
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000", "imdb/0001"}
    assert sync.stop(timeout=0)  # asking twice is no harm


OWNER = """
import sys, time
from pathlib import Path
from experiments.tracking.sync_process import start_sync
sync = start_sync(Path(sys.argv[1]))
print(sync.process.pid, flush=True)
time.sleep(60)
"""


def test_it_ends_with_an_owner_that_is_killed_and_sends_before(paths):
    record_trial(paths, "imdb/0000", parent="imdb/none")
    owner = forked.Popen([sys.executable, "-c", OWNER, paths.runs], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    sync = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 60
    while _alive(sync) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(sync)
    assert in_mlflow(paths)["imdb/0000"]["info"][1] == "FINISHED"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_dies_is_told_started_again_and_everything_arrives(paths, capfd):
    sync = start_sync(paths.runs)
    for number in range(2):
        dead = sync.process
        dead.kill()
        deadline = time.monotonic() + 60
        while sync.process is dead and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sync.process is not dead, f"after death {number + 1} nobody started it again"
    record_study(paths, trials=2)
    assert sync.stop(timeout=60)
    assert capfd.readouterr().err.count("started again; nothing is lost") == 2
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000", "imdb/0001"}


def test_one_that_dies_at_the_very_end_is_made_good(paths):
    sync = start_sync(paths.runs)
    record_study(paths, trials=2)
    sync._stopping.set()  # as stop() does: nobody watches any more
    sync._watcher.join()
    sync.process.kill()
    sync.process.wait()
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(sync.stop, 60)
        while not (next_one := _followers()):
            time.sleep(0.01)
        next_one[0].kill()  # the one that makes it good dies, too
        assert arrived.result()
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000", "imdb/0001"}


def _followers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [each for each in children if "experiments.tracking.follow" in " ".join(each.cmdline())]


def test_it_starts_from_any_folder_and_under_safe_path(paths, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    record_study(paths, trials=1)
    assert start_sync(paths.runs).stop(timeout=60)
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000"}
