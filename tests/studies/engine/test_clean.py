"""What is freed or removed while runs are done is made again: no trial fails for it, and results are the same."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from experiments.tracking.journal import read
from experiments.tracking.paths import RunPaths
from seqclf_core.data.cache import damaged, load_corpus
from studies.engine.clean import clean
from studies.engine.ownership import owned
from studies.engine.scheduler import Scheduler
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all, scores


@pytest.fixture
def runs(tmp_path: Path, cache: Path, open_scheduler: OpenScheduler) -> Path:
    """RUNS with a cache of its own."""
    open_scheduler(name="whole")  # fills the shared cache
    folder = tmp_path / "runs"
    (folder / "cache").unlink()
    shutil.copytree(cache, folder / "cache")
    return folder


def step_to_news(owner: Scheduler) -> None:
    path = owner.paths.journal("test/0000")
    while not path.exists() or b'"progress"' not in path.read_bytes():
        assert owner.step()


def test_clean_leaves_what_somebody_at_work_reads(
    runs: Path, open_scheduler: OpenScheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = RunPaths(runs)
    paths.workers_log.write_text("something")
    with owned(paths, "test"):
        assert clean(runs, yes=True) == 0
        assert "At work right now: test" in capsys.readouterr().out
        assert paths.workers_log.exists()
        assert not damaged(paths.cache)
        assert list(paths.cache.glob("corpus/*/manifest.json"))
    with FileLock(paths.cache / "corpus" / "lock"):
        assert clean(runs, yes=True) == 0
    assert "Data is being encoded right now" in capsys.readouterr().out
    assert list(paths.cache.glob("corpus/*/manifest.json"))
    assert clean(runs, yes=True) == 0
    assert [path.name for path in (paths.cache / "corpus").iterdir()] == ["lock"]
    assert not paths.logs


def test_files_that_disappear_under_a_study_are_made_again(runs: Path, open_scheduler: OpenScheduler) -> None:
    whole = open_scheduler(total=2, name="whole")
    run_all(whole)
    owner = open_scheduler(total=2)
    with owner.recording():
        step_to_news(owner)
        before = read(owner.paths.journal("test/0000"))
        shutil.rmtree(runs / "cache")
        shutil.rmtree(runs / "journal")
        shutil.rmtree(owner.paths.work("test/0000"))
        while owner.step():
            pass
    assert outcomes(owner) == ["COMPLETE"] * 2
    assert scores(owner) == scores(whole)
    assert journals_agree(owner)
    assert read(owner.paths.journal("test/0000"))[: len(before)] == before
    kept = owner.paths.work("test/0000") / "model" / "tokenizer.json"
    data = load_corpus(owner.study.base.data, runs / "cache")
    assert kept.read_bytes() == data.tokenizer.read_bytes()
