"""Whatever lies in a journal's place gives its whole entries, or an error that names the file."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.tracking import journal
from experiments.tracking.journal import Journal, JournalError
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from tests.experiments.tracking.journal_samples import header, progress

LINES = [
    json.dumps({"entry": "opened", "time": 1, "header": header("imdb/0001").model_dump()}),
    json.dumps({"entry": "event", "time": 2, "event": progress(1).model_dump()}),
    json.dumps({"entry": "closed", "time": 3, "outcome": "complete"}),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=6,
)
ODD_LINES = st.one_of(
    st.sampled_from(LINES),
    JSON.map(json.dumps),
    st.builds(
        lambda line, at, text: line[:at] + text + line[at:], st.sampled_from(LINES), st.integers(0, 80), st.text()
    ),
).map(lambda line: line.encode(errors="surrogatepass") + b"\n")
CONTENTS = st.one_of(st.binary(max_size=200), st.lists(ODD_LINES, max_size=4).map(b"".join))


@given(content=CONTENTS)
@settings(max_examples=300, deadline=None)
def test_entries_or_an_error_that_names_the_file(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.jsonl"
    path.write_bytes(content)
    refusal = ""
    try:
        entries = journal.read(path)
    except JournalError as error:
        refusal = str(error)
    if refusal:
        assert f"{path}, line " in refusal
        return
    assert len(entries) == len(content[: content.rfind(b"\n") + 1].splitlines())
    with Journal(path) as opened:
        opened.append({"entry": "reopened"})
        assert opened.entries[:-1] == entries
    assert journal.read(path) == opened.entries


def test_endless_nesting_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "deep.jsonl").write_bytes(b"[" * 200_000 + b"\n")
    with pytest.raises(JournalError, match=r"deep\.jsonl, line 1"):
        journal.read(tmp_path / "deep.jsonl")


def test_a_journal_that_does_not_say_whose_it_is_waits(tmp_path: Path) -> None:
    path = RunPaths(tmp_path).journal("imdb/0001")
    path.parent.mkdir(parents=True)
    path.write_text(LINES[2] + "\n")
    [reason] = sync_once(tmp_path, "http://127.0.0.1:9").unsent.values()
    assert "whose it is" in reason
