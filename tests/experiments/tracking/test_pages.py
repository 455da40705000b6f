"""The report on a study is among the files of its run in MLflow: the latest one, once, over any tracker."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking.artifacts import read_without_server
from experiments.tracking.paths import ENSEMBLE_PAGE, ERRORS, ERRORS_PAGE, RunPaths
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import sync_once, sync_reports
from experiments.tracking.sync_process import start_sync
from tests.experiments.tracking.journal_samples import header, record_study, record_trial


@pytest.fixture(autouse=True)
def _own_tracker(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def paths(tmp_path, empty_database) -> RunPaths:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    paths = RunPaths(tmp_path)
    record_study(paths, trials=2)
    return paths


def write(paths: RunPaths, text: str, study: str = "imdb") -> Path:
    """Write a page as a report does: in one step."""
    page = paths.page(study)
    page.parent.mkdir(parents=True, exist_ok=True)
    beside = page.with_name("beside")
    beside.write_text(text)
    beside.replace(page)
    return page


def attached(uri: str, tmp_path: Path, study: str = "imdb") -> list[str]:
    """Return the pages that MLflow holds of a study, of whichever run."""
    read_without_server(RunPaths(tmp_path).artifacts)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(study)
    found = []
    for run in client.search_runs([experiment.experiment_id]):
        files = [file.path for file in client.list_artifacts(run.info.run_id, "report")]
        assert not files or (files, run.data.tags["seqclf.key"]) == (["report/index.html"], f"{study}/study")
        found += [Path(client.download_artifacts(run.info.run_id, file, tmp_path)).read_text() for file in files]
    return found


def test_the_latest_page_is_with_the_studys_run(paths, tmp_path):
    assert sync_once(paths.runs).pages == 0
    for text in ("first", "second"):
        write(paths, text)
        assert sync_once(paths.runs).pages == 1
        assert attached(paths.tracking_uri(), tmp_path) == [text]
    os.utime(paths.page("imdb"))  # written again, and the same
    assert sync_once(paths.runs).pages == 0


def test_pages_alone_leave_the_journals_for_a_delivery(paths, tmp_path):
    write(paths, "page")
    result = sync_reports(paths.runs)
    assert (result.pages, result.entries) == (1, 0)
    assert attached(paths.tracking_uri(), tmp_path) == ["page"]
    assert sync_once(paths.runs).runs == 3
    assert sync_reports(paths.runs).pages == 0


def test_another_mlflow_gets_it_too(paths, tmp_path, empty_database):
    write(paths, "page")
    sync_once(paths.runs)
    another = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'another.db')}"
    assert sync_once(paths.runs, another).pages == 1
    assert attached(another, tmp_path) == ["page"]


def test_a_deleted_run_gets_none(paths, tmp_path):
    sync_once(paths.runs)
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.get_experiment_by_name("imdb").experiment_id
    [run] = client.search_runs([experiment], "tags.`seqclf.key` = 'imdb/study'")
    client.delete_run(run.info.run_id)
    write(paths, "page")
    result = sync_once(paths.runs)
    assert (result.pages, result.unsent) == (0, {})
    assert not client.list_artifacts(run.info.run_id, "report")


def test_a_page_of_no_study_or_of_no_page_is_no_trouble(paths):
    write(paths, "page", "no such study")
    record_trial(paths, "alone/0000", parent="alone/study")
    write(paths, "page", "alone")
    result = sync_once(paths.runs)
    assert (result.pages, result.unsent) == (0, {})


def test_a_name_that_is_no_folder_s_name_leads_to_its_page(paths, tmp_path):
    with Recorder.open(paths.journal("größe/study"), header("größe/study")) as recorder:
        recorder.close("complete")
    assert write(paths, "page", "größe").parent.name.isascii()
    assert sync_once(paths.runs).pages == 1
    assert attached(paths.tracking_uri(), tmp_path, "größe") == ["page"]


def test_a_tracker_that_is_away_gets_it_later(paths, tmp_path):
    page = write(paths, "page")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert set(sync_reports(paths.runs, away).unsent) == {str(page)}
    assert str(page) in sync_once(paths.runs, away).unsent
    assert not sync_once(paths.runs).unsent  # as `make sync` does
    assert attached(paths.tracking_uri(), tmp_path) == ["page"]


def test_beside_an_owner_a_page_that_is_written_meanwhile_arrives(paths, tmp_path):
    sync = start_sync(paths.runs)
    write(paths, "page")
    assert sync.stop(timeout=60)
    assert attached(paths.tracking_uri(), tmp_path) == ["page"]


def test_pages_about_errors_and_their_pictures_are_with_the_run_that_they_are_about(paths, tmp_path):
    folder = paths.page("imdb").parent / ERRORS / "0001"
    folder.mkdir(parents=True)
    client, kept = MlflowClient(tracking_uri=paths.tracking_uri()), set()
    for name in (ERRORS_PAGE, ENSEMBLE_PAGE):
        (folder / name).write_text(f"first {name}")
        (folder / name).with_suffix(".png").write_bytes(b"\x89PNG")
        kept |= {f"{ERRORS}/{name}", f"{ERRORS}/{Path(name).stem}.png"}
        for text in (f"first {name}", f"second {name}"):
            (folder / name).write_text(text)
            os.utime(folder / name, (len(text), len(text)))
            assert not sync_once(paths.runs).unsent
            [run] = [
                run
                for run in client.search_runs([client.get_experiment_by_name("imdb").experiment_id])
                if run.data.tags["seqclf.key"] == "imdb/0001"
            ]
            assert {file.path for file in client.list_artifacts(run.info.run_id, ERRORS)} == kept
            page = client.download_artifacts(run.info.run_id, f"{ERRORS}/{name}", str(tmp_path))
            assert Path(page).read_text() == text
