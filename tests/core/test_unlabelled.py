"""Reviews without labels: found wherever a source keeps them, and read only when they are asked for."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from review_files import ROWS, folder, write
from small_archive import FILES, pack, unpack

from seqclf_core.config import DataConfig, RunConfig
from seqclf_core.corpus import load_corpus
from seqclf_core.errors import DataError
from seqclf_core.events import Started
from seqclf_core.next_word import train_tagger
from seqclf_core.sources import Places, open_unlabelled
from seqclf_core.unlabelled import unlabelled_texts

UNLABELLED = {f"aclImdb/train/unsup/{number}_0.txt": f"seen {number}".encode() for number in range(12)}


def texts(source: Path, **settings: object) -> list[str]:
    config = DataConfig.model_validate({"source": str(source), **settings})
    return unlabelled_texts(config, source.parent / "cache")


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
        open_unlabelled("hub", tmp_path, places)
    table = pa.table({"text": ["seen"], "label": [-1]})
    pq.write_table(table, snapshot / "plain_text" / "unsupervised-00000-of-00001.parquet")
    part = open_unlabelled("hub", tmp_path, places)
    assert part is not None
    assert [row.text for row in part.rows(None)] == [b"seen"]


def test_a_source_without_any_has_none(tmp_path: Path) -> None:
    assert texts(folder(tmp_path / "data")) == []
    assert texts(write(tmp_path / "alone.csv", ROWS)) == []
    assert unlabelled_texts(DataConfig(source="synthetic"), tmp_path) == []
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


def test_the_tagger_reads_them_and_neither_validation_nor_test(
    small: RunConfig, reviews_folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(reviews_folder, tmp_path / "data")
    write(data / "unsupervised.jsonl", [{"text": "the film was superb"}] * 7)
    config = small.override({"data.source": str(data), "train.epochs": 1})
    started = next(train_tagger(tmp_path / "tagger", config, tmp_path / "run", tmp_path / "cache"))
    assert isinstance(started, Started)
    sizes = load_corpus(config.data, tmp_path / "cache").summary.sizes
    assert started.data.sizes == {"train": sizes["train"] + 7, "val": -(-sizes["val"] // 8)}  # short: a piece each
