"""The cache of encoded reviews: once encoded they stay, and damage never shows as wrong numbers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqclf_core.config import DataConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.encoding import write_entry
from seqclf_core.data.reviews import load_reviews
from tests.core.data.corpus_samples import reviews, rows_of, same, write

LOAD = """
import sys
from pathlib import Path
from seqclf_core.config import DataConfig
from seqclf_core.data.cache import load_corpus
corpus = load_corpus(DataConfig(source=sys.argv[1]), Path(sys.argv[2]))
entry = corpus.tokenizer.parent
print(entry.name, entry.stat().st_ino, corpus.summary.digest, int(corpus.train.tokens.sum()))
print(*sorted({"torch", "datasets", "tokenizers", "sklearn"} & set(sys.modules)))
"""


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "data", reviews(range(60), seed=0), reviews(range(60, 90), seed=1))


def test_the_same_data_gives_the_same_bytes(source, tmp_path):
    entries = [load_corpus(DataConfig(source=source), tmp_path / name).tokenizer.parent for name in ("a", "b")]
    assert entries[0].name == entries[1].name
    assert (entries[0] / "manifest.json").read_bytes() == (entries[1] / "manifest.json").read_bytes()


def test_what_batches_cut_is_not_encoded_again_and_what_shapes_the_ids_is(source, tmp_path):
    def entry(**settings):
        return load_corpus(DataConfig(source=source, **settings), tmp_path / "cache").tokenizer.parent

    assert entry() == entry(max_length=5) == entry(keep="head") == entry(pad="max_length")
    assert len({entry(), entry(vocab_size=20), entry(split_seed=1), entry(val_fraction=0.3)}) == 4


def test_changed_files_are_read_again_and_the_old_state_found_again(source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    entry, made = first.tokenizer.parent, first.tokenizer.stat().st_mtime_ns

    os.utime(Path(source, "train.jsonl"))  # read again, but known by its content
    assert load_corpus(config, cache).tokenizer.stat().st_mtime_ns == made

    write(Path(source), reviews(range(60), seed=7), rows_of(source, "test"))
    second = load_corpus(config, cache)
    assert second.tokenizer.parent != entry
    assert second.summary.digest != first.summary.digest

    write(Path(source), reviews(range(60), seed=0), rows_of(source, "test"))
    assert same(load_corpus(config, cache), first)


def test_changes_behind_links_are_noticed_and_links_to_nowhere_are_not_followed(source, tmp_path):
    linked = tmp_path / "linked"
    linked.symlink_to(source)
    Path(source, "loop").symlink_to(source)
    Path(source, "gone").symlink_to(tmp_path / "nowhere")
    first = load_corpus(DataConfig(source=str(linked)), tmp_path / "cache")
    write(Path(source), reviews(range(60), seed=7), rows_of(source, "test"))
    second = load_corpus(DataConfig(source=str(linked)), tmp_path / "cache")
    assert second.summary.digest != first.summary.digest


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [cut, zero, Path.unlink])
def test_a_damaged_file_is_made_anew(damage, source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    whole = {file.name: file.read_bytes() for file in first.tokenizer.parent.iterdir()}
    assert len(whole) == 3 * 5 + 3
    for name in whole:
        damage(first.tokenizer.parent / name)
        again = load_corpus(config, cache)
        assert {file.name: file.read_bytes() for file in again.tokenizer.parent.iterdir()} == whole
    damage(next((cache / "corpus" / "seen").iterdir()))
    assert same(load_corpus(config, cache), again)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a\0b", b"x" * 5000, b"../..", b"[]", b"{}", b"null", b'{"a": 1}']
)
def test_anything_in_place_of_note_or_manifest_is_made_anew(content, source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    [note] = (cache / "corpus" / "seen").iterdir()
    whole = [note.read_bytes(), (first.tokenizer.parent / "manifest.json").read_bytes()]
    for path in (note, first.tokenizer.parent / "manifest.json"):
        path.write_bytes(content)
        assert same(load_corpus(config, cache), first)
    assert [note.read_bytes(), (first.tokenizer.parent / "manifest.json").read_bytes()] == whole


def start(source: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, source, str(cache)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def test_processes_that_start_at_once_encode_once(source, tmp_path):
    cache = tmp_path / "cache"
    outputs = [process.communicate() for process in [start(source, cache) for _ in range(3)]]
    found, imported = zip(*(output.splitlines() for output, _ in outputs), strict=True)
    assert len(set(found)) == 1  # the same folder, never replaced, and the same numbers in it
    assert sorted(imported)[:2] == ["", ""]  # only one of them read the reviews
    assert "tokenizers" in sorted(imported)[2]
    assert sorted(entry.name for entry in (cache / "corpus").iterdir() if entry.is_dir()) == sorted(
        [found[0].split()[0], "seen"]
    )


def test_a_killed_process_leaves_nothing_that_is_taken_for_an_entry(tmp_path):
    source = write(tmp_path / "data", reviews(range(300), seed=0), reviews(range(300, 600), seed=1))
    process = start(source, tmp_path / "cache")
    while process.poll() is None and not list((tmp_path / "cache").glob("corpus/.*/tokenizer.json")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert same(corpus, load_corpus(DataConfig(source=source), tmp_path / "elsewhere"))
    assert not list((tmp_path / "cache").glob("corpus/.*"))


def test_a_cache_that_is_removed_while_it_is_written_is_a_file_that_is_gone(small, tmp_path):
    """Whoever reads the cache begins again then; any other error would fail a trial."""
    with pytest.raises(FileNotFoundError):
        write_entry(load_reviews(small.data), small.data, tmp_path / "removed")
