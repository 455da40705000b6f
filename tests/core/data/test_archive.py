"""The original archive: as a folder and as it is downloaded; a hostile one is refused and touches nothing."""

import gzip
import tarfile
from pathlib import Path

import pytest

from seqclf_core.config import DataConfig
from seqclf_core.data import archive
from seqclf_core.data.reviews import load_reviews
from seqclf_core.errors import DataError
from tests.core.data.small_archive import FILES, pack, unpack


def load(source, **settings):
    return load_reviews(DataConfig(source=str(source), **settings))


def test_folder_and_tar_file_give_the_same_reviews_in_the_order_of_their_ids(tmp_path):
    reviews = load(unpack(tmp_path / "data", FILES))
    assert reviews.train["text"].to_pylist() == [
        f"train {label} {n}<br />" for label in ("neg", "pos") for n in range(12)
    ]
    assert reviews.train["label"].to_pylist() == [0] * 12 + [1] * 12
    assert reviews.train["group"].to_pylist()[:4] == ["tt10", "tt10", "tt10", "tt11"]
    assert reviews.test["group"][-1].as_py() == "tt23"
    assert reviews.group_column == "movie"
    packed = load(pack(tmp_path / "aclImdb_v1.tar.gz", FILES))
    assert packed.digest == reviews.digest == load(tmp_path / "data" / "aclImdb").digest
    downloaded = tmp_path / "downloaded"
    downloaded.mkdir()
    pack(downloaded / "aclImdb_v1.tar.gz", FILES)
    assert load(downloaded).digest == reviews.digest


def test_without_addresses_there_are_no_groups(tmp_path):
    files = {name: content for name, content in FILES.items() if "urls" not in name}
    reviews = load(pack(tmp_path / "a.tar.gz", files))
    assert reviews.group_column is None
    with pytest.raises(DataError, match="no column 'movie'"):
        load(tmp_path / "a.tar.gz", group_column="movie")


def test_a_review_without_an_address_is_named(tmp_path):
    files = {**FILES, "aclImdb/train/pos/99_7.txt": b"no line 99 in urls_pos.txt"}
    with pytest.raises(DataError, match=r"train/pos/99_7\.txt: there is no movie"):
        load(pack(tmp_path / "a.tar.gz", files))


@pytest.mark.parametrize("packed", [True, False])
def test_bad_bytes_are_named(tmp_path, packed):
    files = {**FILES, "aclImdb/test/neg/3_2.txt": b"caf\xe9"}
    source = pack(tmp_path / "a.tar.gz", files) if packed else unpack(tmp_path / "data", files)
    with pytest.raises(DataError, match=r"test/neg/3_2\.txt: the text is not valid UTF-8"):
        load(source)
    reviews = load(source, on_bad_row="skip")
    assert (reviews.skipped, reviews.test.num_rows) == (1, 23)


def test_an_archive_that_is_cut_short_is_refused(tmp_path):
    content = pack(tmp_path / "whole.tar.gz", FILES).read_bytes()
    for cut in (0, 1, 100, len(content) // 2, len(content) - 9, len(content) - 1):
        (tmp_path / "cut.tar.gz").write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"broken or cut short|holds no reviews"):
            load(tmp_path / "cut.tar.gz")


def test_an_archive_with_a_changed_byte_is_refused(tmp_path):
    content = bytearray(pack(tmp_path / "whole.tar.gz", FILES).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "whole.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"whole\.tar\.gz"):
        load(tmp_path / "whole.tar.gz")


def test_nothing_in_an_archive_is_written_anywhere(tmp_path):
    strange = dict.fromkeys(("../escaped", "/tmp/escaped", "aclImdb/../../escaped", "a\0b"), b"gotcha")
    (tmp_path / "data").mkdir()
    pack(tmp_path / "data" / "a.tar.gz", {**FILES, **strange})
    before = sorted(tmp_path.rglob("*"))
    load(tmp_path / "data" / "a.tar.gz")
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_review_that_is_no_plain_file_is_refused(tmp_path, kind):
    link = tarfile.TarInfo("aclImdb/train/pos/7777_9.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match=r"train/pos/7777_9\.txt is a link"):
        load(pack(tmp_path / "a.tar.gz", FILES, [link]))


def test_a_review_that_stands_there_twice_is_refused(tmp_path):
    again = tarfile.TarInfo("./aclImdb/train/pos/7_9.txt")
    with pytest.raises(DataError, match="twice"):
        load(pack(tmp_path / "a.tar.gz", FILES, [again]))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED", 2**20)
    bomb = {**FILES, "aclImdb/huge": bytes(2**21)}
    assert pack(tmp_path / "a.tar.gz", bomb).stat().st_size < 2**15
    with pytest.raises(DataError, match="unpacks to more than"):
        load(tmp_path / "a.tar.gz")
    monkeypatch.setattr(archive, "MAX_FILE", 10)
    with pytest.raises(DataError, match="too large"):
        load(pack(tmp_path / "b.tar.gz", FILES))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"plain text")
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(b"not a tar file" * 100))
    pack(tmp_path / "c.tar.gz", {"something/else.txt": b"x"})
    for name in "abc":
        with pytest.raises(DataError, match=rf"{name}\.tar\.gz: the archive"):
            load(tmp_path / f"{name}.tar.gz")
