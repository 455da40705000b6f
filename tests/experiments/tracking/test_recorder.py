"""A run is recorded once, however often it is interrupted and replayed."""

import subprocess
import sys

from experiments.tracking import journal
from experiments.tracking.recorder import Recorder, provenance
from seqclf_core.events import Saved
from tests.experiments.tracking.journal_samples import EVENTS, FINISHED, STARTED, header, progress


def test_a_replayed_stream_adds_only_what_is_new(tmp_path):
    path = tmp_path / "one.jsonl"
    for seen in range(len(EVENTS) + 1):
        with Recorder.open(path, header("imdb/0001")) as recorder:
            new = [recorder.record(event) for event in EVENTS[:seen]]
        assert sum(new) == min(seen, 1)
    with Recorder.open(path, header("imdb/0001")) as recorder:
        assert recorder.events == EVENTS
        assert recorder.progress == EVENTS[1:4]


def test_an_evaluation_is_known_by_its_index_alone(tmp_path):
    with Recorder.open(tmp_path / "one.jsonl", header("imdb/0001")) as recorder:
        recorder.record(STARTED)
        recorder.record(progress(1))
        # After the loss of a checkpoint the work is done again, and takes another time.
        again = progress(1).model_copy(update={"seconds": 99.0})
        assert not recorder.record(again)
        assert recorder.progress == [progress(1)]


def test_signs_of_life_are_not_recorded(tmp_path):
    with Recorder.open(tmp_path / "one.jsonl", header("imdb/0001")) as recorder:
        assert not recorder.record(Saved(step=7))
        assert recorder.events == []


def test_a_run_ends_once(tmp_path):
    path = tmp_path / "one.jsonl"
    with Recorder.open(path, header("imdb/0001")) as recorder:
        assert recorder.closed is None
        recorder.record(STARTED)
        recorder.close("pruned", "worse than most")
    before = path.read_bytes()
    with Recorder.open(path, header("imdb/0001")) as recorder:
        assert not recorder.record(FINISHED)
        recorder.close("complete")
        assert recorder.closed.outcome == "pruned"
        assert recorder.closed.reason == "worse than most"
    assert path.read_bytes() == before


def test_a_finished_study_can_go_on(tmp_path):
    with Recorder.open(tmp_path / "study.jsonl", header("imdb/study")) as recorder:
        recorder.reopen()
        assert len(recorder.entries) == 1  # it was open
        recorder.close("complete")
        recorder.reopen()
        assert recorder.closed is None
        recorder.close("complete")
        assert recorder.closed is not None


def test_the_first_header_stands(tmp_path):
    path = tmp_path / "one.jsonl"
    Recorder.open(path, header("imdb/0001"))
    Recorder.open(path, header("imdb/0002"))
    assert journal.read(path)[0].header.key == "imdb/0001"


def test_provenance_names_versions_and_needs_no_torch():
    tags = provenance()
    assert tags["versions.torch"]
    assert tags["versions.python"].startswith("3.")
    command = (
        "import sys, experiments.tracking.recorder as r; r.provenance(); "
        "assert not {'torch', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", command], check=True)
