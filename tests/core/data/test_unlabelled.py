"""Reviews without labels: found wherever a source keeps them, and read only when they are asked for."""

import json
import shutil
import tarfile
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqclf_core.config import DataConfig, RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.hub import Places
from seqclf_core.data.reviews import unlabelled_texts
from seqclf_core.data.sources import open_source
from seqclf_core.errors import DataError, UserError
from seqclf_core.events import Finished, Saved
from seqclf_core.next_word import read_texts, train_language_model
from tests.core.data.review_files import ROWS, folder, write
from tests.core.data.small_archive import FILES, pack, unpack

UNLABELLED = {f"aclImdb/train/unsup/{number}_0.txt": f"seen {number}".encode() for number in range(12)}


def texts(source: Path, **settings: object) -> list[str]:
    config = DataConfig.model_validate({"source": str(source), **settings})
    found: list[str] = unlabelled_texts(config)[0].to_pylist()
    return found


def test_an_archives_are_read_packed_and_unpacked(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if "unsup" not in name} | UNLABELLED
    expected = [f"seen {number}" for number in range(12)]
    packed = pack(tmp_path / "aclImdb_v1.tar.gz", files)
    assert texts(packed) == expected
    unpacked = unpack(tmp_path / "here", files)
    assert texts(unpacked) == texts(unpacked / "aclImdb") == expected
    (tmp_path / "data").mkdir()
    shutil.copy(packed, tmp_path / "data" / packed.name)
    assert texts(tmp_path / "data") == expected


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("labels", [{}, {"label": -1}])
def test_a_folders_are_its_unsupervised_part_whatever_their_labels(
    suffix: str, labels: dict[str, int], tmp_path: Path
) -> None:
    data = folder(tmp_path / "data", suffix=suffix)
    write(data / f"unsupervised{suffix}", [{"text": f"seen {number}", **labels} for number in range(3)])
    (data / "README.md").write_text(
        "---\nconfigs:\n  - config_name: default\n    data_files:\n"
        + "".join(f"      - split: {p}\n        path: {p}{suffix}\n" for p in ("train", "test", "unsupervised"))
        + "---\n"
    )
    assert texts(data) == ["seen 0", "seen 1", "seen 2"]
    assert load_corpus(DataConfig(source=str(data)), tmp_path / "cache").summary.sizes["test"] == 10


def test_the_hubs_are_fetched_only_when_asked_for(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "datasets--stanfordnlp--imdb" / "snapshots" / "0123"
    (snapshot / "plain_text").mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    nowhere = "http://127.0.0.1:9"
    places = Places(folder=tmp_path / "none", archive_url=nowhere, hub_url=nowhere, hub_cache=tmp_path / "hub")
    with pytest.raises(DataError, match="not in the hub's cache"):
        open_source(DataConfig(source="hub"), places, unlabelled=True)
    table = pa.table({"text": ["seen"], "label": [-1]})
    pq.write_table(table, snapshot / "plain_text" / "unsupervised-00000-of-00001.parquet")
    [part] = open_source(DataConfig(source="hub"), places, unlabelled=True).splits["unsupervised"]
    assert part.column("text").to_pylist() == ["seen"]


def test_a_source_without_any_has_none(tmp_path: Path) -> None:
    assert texts(folder(tmp_path / "data")) == []
    assert texts(write(tmp_path / "alone.csv", ROWS)) == []
    assert len(unlabelled_texts(DataConfig(source="synthetic"))[0]) == 0
    assert texts(pack(tmp_path / "aclImdb_v1.tar.gz", {n: t for n, t in FILES.items() if "unsup" not in n})) == []


def test_a_bad_text_stops_or_is_skipped_and_a_limit_draws_some(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", suffix=".jsonl")
    write(data / "unsupervised.jsonl", [{"text": text} for text in ("one", " ", "two", "three")])
    with pytest.raises(DataError, match=r"unsupervised\.jsonl, line 2 .*the text is empty.*on-bad-row skip"):
        texts(data)
    assert texts(data, on_bad_row="skip") == ["one", "two", "three"]
    drawn = [texts(data, on_bad_row="skip", limit=2, split_seed=seed) for seed in range(9)]
    assert {len(each) for each in drawn} == {2}
    assert len(set(map(tuple, drawn))) > 1
    assert drawn[0] == texts(data, on_bad_row="skip", limit=2, split_seed=0)


def test_a_folder_called_synthetic_is_not_the_synthetic_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(tmp_path / "synthetic")
    write(data / "unsupervised.csv", [{"text": "seen"}])
    monkeypatch.chdir(tmp_path)
    assert len(unlabelled_texts(DataConfig(source="synthetic"))[0]) == 0
    assert texts(data) == ["seen"]


def test_what_is_part_of_the_test_part_is_not_unlabelled(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if "unsup" not in name}
    files["aclImdb/test/unsup/0_0.txt"] = b"of the test part"
    assert texts(pack(tmp_path / "aclImdb_v1.tar.gz", files)) == []
    data = folder(tmp_path / "data")
    (data / "test.csv").rename(data / "unsupervised_test.csv")
    with pytest.raises(DataError, match=r"unsupervised_test.csv: its name says test and unsupervised"):
        texts(data)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_labelled_part_in_which_one_file_has_no_labels_is_refused(suffix: str, tmp_path: Path) -> None:
    data = folder(tmp_path / "data", suffix=suffix)
    (data / f"train{suffix}").rename(data / f"train-00000-of-00002{suffix}")
    write(data / f"train-00001-of-00002{suffix}", [{"text": "good", "sentiment": 1}])
    with pytest.raises(DataError, match=rf"train-00001-of-00002{suffix}"):
        load_corpus(DataConfig(source=str(data), on_bad_row="skip"), tmp_path / "cache")


def test_a_hostile_archive_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("aclImdb/train/unsup/7_0.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DataError, match="is a link"):
        texts(pack(tmp_path / "a.tar.gz", FILES | UNLABELLED, [link]))


@pytest.fixture
def config(small: RunConfig, reviews_folder: Path, tmp_path: Path) -> RunConfig:
    data = shutil.copytree(reviews_folder, tmp_path / "data")
    return small.override({"data.source": str(data), "train.epochs": 1})


def test_the_tagger_reads_them_but_for_those_that_are_held_out(config: RunConfig, tmp_path: Path) -> None:
    data, cache = Path(config.data.source), tmp_path / "cache"
    corpus = load_corpus(config.data, cache)
    rows = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
    held_out = rows[int(corpus.val.rows[0])]["text"]
    tested = json.loads((data / "test.jsonl").read_text().splitlines()[0])["text"]
    others = ["the film was superb"] * 7
    write(data / "unsupervised.jsonl", [{"text": text} for text in (held_out, *others, tested.upper())])
    read = read_texts(config, corpus, cache)
    assert read.summary.sizes["train"] == len(corpus.train.labels) + 7  # short: a piece each
    assert "7 unlabelled reviews (2 that" in read.summary.source
    assert read.summary.digest != corpus.summary.digest


def test_a_tagger_goes_on_with_the_texts_that_it_began_with(config: RunConfig, tmp_path: Path) -> None:
    with closing(train_language_model(config, tmp_path / "run", tmp_path / "cache")) as events:
        next(event for event in events if isinstance(event, Saved))
    more = write(Path(config.data.source) / "unsupervised.jsonl", [{"text": "the film was superb"}])
    with pytest.raises(UserError, match="not those that this tagger began with"):
        next(train_language_model(config, tmp_path / "run", tmp_path / "cache"))
    more.unlink()
    *_, end = train_language_model(config, tmp_path / "run", tmp_path / "cache")
    assert isinstance(end, Finished)


def test_reviews_of_one_word_teach_no_next_word(config: RunConfig, tmp_path: Path) -> None:
    data = Path(config.data.source)
    for part in ("train", "test"):
        rows = [json.loads(line) for line in (data / f"{part}.jsonl").read_text().splitlines()]
        write(data / f"{part}.jsonl", [{**row, "text": row["text"].split()[-1]} for row in rows])
    with pytest.raises(DataError, match="no next word to learn"):
        next(train_language_model(config, tmp_path / "run", tmp_path / "cache"))


def test_where_no_token_was_drawn_since_the_last_look_there_is_no_loss_yet(
    config: RunConfig, tmp_path: Path
) -> None:
    data = Path(config.data.source)
    for part in ("train", "test"):
        rows = [json.loads(line) for line in (data / f"{part}.jsonl").read_text().splitlines()]
        write(data / f"{part}.jsonl", [{**row, "text": " ".join(row["text"].split()[-2:])} for row in rows[:60]])
    often = config.override({"train.batch_size": 1, "train.evals_per_epoch": 20, "train.patience": 100})
    *_, end = train_language_model(often, tmp_path / "run", tmp_path / "cache")
    assert isinstance(end, Finished)
