"""Runs on several workers at a time end as they do one after another, whatever dies or stops on the way."""

from __future__ import annotations

from pathlib import Path

from experiments.experiment import Experiment, NamedRun, Result
from experiments.run_experiment import session_of
from experiments.runner import track_all
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.run import run
from studies.beside import run_beside
from studies.engine.inline import Inline
from studies.engine.processes import Processes


def scores(results: list[Result]) -> list[dict[str, float]]:
    """Return final scores, without what time it took."""
    ended = [result.finished.metrics for result in results if result.finished]
    return [{name: value for name, value in each.items() if name != "total_seconds"} for each in ended]


def test_a_killed_worker_and_a_stop_change_nothing(small: RunConfig, cache: Path, tmp_path: Path) -> None:
    small = small.override({"train.epochs": 2})
    experiment = Experiment(purpose="?", base=small, runs=lambda *_: [], stream=run)
    runs = [NamedRun(f"seed {seed}", small.override({"seed": seed})) for seed in (1, 2)]
    data = load_corpus(small.data, cache).summary
    paths, alone = RunPaths(tmp_path / "beside"), RunPaths(tmp_path / "alone")
    for each in (paths, alone):
        each.runs.mkdir()
        each.cache.symlink_to(cache)
    session = session_of("baseline", experiment, data, paths, "")

    asked = 0

    def stop_soon() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    stopped = run_beside(session, runs, Inline(), stop_soon)
    assert [result.closed for result in stopped] == [None, None]

    executor = Processes(2, tmp_path / "log")
    killed: list[str] = []

    def kill_one() -> bool:
        if not killed and executor._busy:
            killed.append(next(iter(executor._busy)))
            executor.kill(killed[0])
        return False

    try:
        done = run_beside(session, runs, executor, kill_one)
    finally:
        executor.close()
    assert killed
    one_by_one = track_all(session_of("baseline", experiment, data, alone, ""), small, runs, lambda: False)
    assert len(scores(done)) == 2
    assert scores(done) == scores(one_by_one)
    assert scores(run_beside(session, runs, Inline(), lambda: False)) == scores(done)  # nothing is done again
