"""A journal keeps what it acknowledged, whatever happens to the process, the disk or the clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.tracking import journal
from experiments.tracking.clock import Clock
from experiments.tracking.journal import Closed, Happened, Journal, JournalError
from experiments.tracking.recorder import Recorder
from tests import forked
from tests.experiments.tracking.journal_samples import EVENTS, header

YEAR = 365 * 86_400


def record_all(path: Path) -> None:
    with Recorder.open(path, header("imdb/0001", "imdb/study")) as recorder:
        for event in EVENTS:
            recorder.record(event)
        recorder.close("complete")


def test_what_is_written_is_read(tmp_path):
    record_all(tmp_path / "one.jsonl")
    opened, *happened, closed = journal.read(tmp_path / "one.jsonl")
    assert opened.header == header("imdb/0001", "imdb/study")
    assert [entry.event for entry in happened] == EVENTS
    assert closed.outcome == "complete"


def test_cut_at_any_byte_it_keeps_every_whole_entry_and_goes_on(tmp_path):
    path = tmp_path / "one.jsonl"
    with Recorder.open(path, header("imdb/0001")) as recorder:
        for event in EVENTS[:3]:
            recorder.record(event)
        recorder.close("pruned")
    data, entries = path.read_bytes(), journal.read(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        kept = journal.read(path)
        assert kept == entries[: data[:length].count(b"\n")]
        with Journal(path) as opened:
            opened.append({"entry": "reopened"})
        assert journal.read(path)[:-1] == kept


def test_a_recorder_goes_on_after_a_torn_tail_to_the_same_journal(tmp_path):
    path = tmp_path / "one.jsonl"
    record_all(path)
    entries = journal.read(path)
    path.write_bytes(path.read_bytes()[:-700])
    record_all(path)
    again = journal.read(path)
    assert [entry.model_dump(exclude={"time"}) for entry in again] == [
        entry.model_dump(exclude={"time"}) for entry in entries
    ]


class Steps:
    """A clock of a computer that may be set, and one that may not: both in nanoseconds."""

    def __init__(self, wall: int) -> None:
        self.wall, self.steady = wall, 0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: int, step: int = 0) -> None:
        self.wall += (seconds + step) * 10**9
        self.steady += seconds * 10**9


@pytest.mark.parametrize("years", [-10, 10])
def test_a_step_of_the_clock_changes_no_time_of_any_journal_of_its_process(tmp_path, years):
    computer = Steps(2 * 10**18)
    clock = computer.clock()
    for name, step in (("before", years * YEAR), ("after", 0), ("again", -years * YEAR)):
        with Journal(tmp_path / name, clock) as opened:
            opened.append({"entry": "reopened"})
            computer.pass_by(5, step)
            opened.append({"entry": "reopened"})
    times = [entry.time for name in ("before", "after", "again") for entry in journal.read(tmp_path / name)]
    assert times == [2 * 10**12 + seconds * 1000 for seconds in (0, 5, 5, 10, 10, 15)]


def test_another_process_whose_clock_is_behind_goes_on_from_what_is_recorded(tmp_path):
    computer = Steps(2 * 10**18)
    for step in (-10 * YEAR, YEAR, 0):
        with Journal(tmp_path / "one.jsonl", computer.clock()) as opened:
            opened.append({"entry": "reopened"})
            computer.pass_by(5, step)
            opened.append({"entry": "reopened"})
    times = [entry.time for entry in journal.read(tmp_path / "one.jsonl")]
    assert times == [2 * 10**12 + seconds * 1000 for seconds in (0, 5, 5, 10, 10, 15)]


def test_a_newer_journal_is_refused_by_name_and_format(tmp_path):
    path = tmp_path / "one.jsonl"
    record_all(path)
    lines = path.read_text().splitlines(keepends=True)
    first = json.loads(lines[0])
    first["header"] |= {"format": journal.FORMAT + 6, "mood": "cheerful"}
    path.write_text(json.dumps(first) + "\n" + "".join(lines[1:]) + '{"entry": "sung", "time": 1}\n')
    for reading in (journal.read, Journal):
        with pytest.raises(JournalError, match=rf"one\.jsonl was written by a newer .* {journal.FORMAT + 6},"):
            reading(path)


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "one.jsonl"
    record_all(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\0" * 20 + b"\n", *lines[3:]]))
    with pytest.raises(JournalError, match=r"one\.jsonl, line 3"):
        journal.read(path)
    with pytest.raises(JournalError, match="line 3"):
        Journal(path)


@given(reason=st.text(st.characters(), max_size=200))
def test_any_reason_is_kept_on_one_line_that_every_database_takes(reason, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "one.jsonl"
    with Recorder.open(path, header("imdb/0001")) as recorder:
        recorder.close("failed", reason)
    closed = journal.read(path)[-1]
    assert isinstance(closed, Closed)
    assert "\0" not in closed.reason
    assert closed.reason.encode().decode() == closed.reason
    assert path.read_bytes().count(b"\n") == 2


def test_credentials_never_reach_the_file(tmp_path):
    path = tmp_path / "one.jsonl"
    secret = header("imdb/0001").model_copy(update={"params": {"data.source": "https://ann:s3cret@host/imdb"}})
    with Recorder.open(path, secret) as recorder:
        recorder.close("failed", "cannot read https://ann:s3cret@host/imdb?token=s3cret")
    assert "s3cret" not in path.read_text()
    assert "host/imdb" in path.read_text()


FILL = """
import resource, sys
from pathlib import Path
from experiments.tracking.journal import Journal, JournalError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
with Journal(Path(sys.argv[1])) as journal:
    acknowledged = 0
    try:
        while True:
            journal.append({"entry": "closed", "outcome": "failed", "reason": "x" * 100})
            acknowledged += 1
    except JournalError as error:
        print(acknowledged, error)
"""


def test_a_full_disk_is_told_and_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "one.jsonl"
    done = forked.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=True)
    acknowledged, message = done.stdout.split(maxsplit=1)
    assert "Cannot write the journal" in message
    assert "make room" in message
    assert len(journal.read(path)) == int(acknowledged) > 0
    assert path.read_bytes().endswith(b"\n")
    with Journal(path) as opened:
        opened.append({"entry": "reopened"})
    assert len(journal.read(path)) == int(acknowledged) + 1


APPEND = """
import sys
from pathlib import Path
from experiments.tracking.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    while True:
        journal.append({"entry": "closed", "outcome": "failed", "reason": "x" * 5000})
        print(len(journal.entries), flush=True)
"""


def test_a_killed_writer_keeps_all_it_acknowledged(tmp_path):
    path = tmp_path / "one.jsonl"
    acknowledged = 0
    for _ in range(3):
        writer = forked.Popen([sys.executable, "-c", APPEND, path], stdout=subprocess.PIPE, text=True)
        for line in writer.stdout:
            if int(line) >= acknowledged + 20:
                break
        writer.kill()
        rest = writer.stdout.read().splitlines()
        writer.wait()
        acknowledged = int(rest[-1]) if rest and rest[-1] else int(line)
        assert len(journal.read(path)) in (acknowledged, acknowledged + 1)
        acknowledged = len(journal.read(path))
    assert all(not isinstance(entry, Happened) for entry in journal.read(path))
