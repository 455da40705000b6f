"""What a source means: each place is asked once, in order and quickly; a fallback is said loudly."""

import hashlib
import socket
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqclf_core.config import DataConfig
from seqclf_core.data.hub import Places, hub_files
from seqclf_core.data.reviews import load_reviews
from seqclf_core.data.sources import open_source, resolve
from seqclf_core.errors import DataError
from tests.core.data.small_archive import FILES, pack

NOWHERE = "http://127.0.0.1:9"  # the discard port: connections are refused


def places(tmp_path, **others):
    offline = {"archive_url": f"{NOWHERE}/a.tar.gz", "hub_url": NOWHERE, "hub_cache": tmp_path / "hub"}
    return Places(variable="SEQCLF_TEST_DATA", folder=tmp_path / "data" / "imdb", **{**offline, **others})


def test_names_mean_themselves_and_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n")
    assert resolve("reviews.csv") == str(tmp_path / "reviews.csv") == resolve(str(tmp_path / "reviews.csv"))
    (tmp_path / "elsewhere").mkdir()
    assert resolve("elsewhere/../reviews.csv") == resolve(f"{tmp_path}/./reviews.csv") == resolve("reviews.csv")
    (tmp_path / "elsewhere" / "below").mkdir()
    (tmp_path / "elsewhere" / "reviews.csv").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "below")
    assert resolve("link/../reviews.csv") == str(tmp_path / "elsewhere" / "reviews.csv")
    assert resolve("synthetic") == "synthetic"
    assert resolve("hub") == "hub"
    with pytest.raises(DataError, match=r"nowhere: there is no such folder or file.*make data"):
        resolve("nowhere")


def test_auto_takes_what_the_variable_names(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQCLF_TEST_DATA", str(tmp_path))
    assert resolve("auto", places(tmp_path)) == str(tmp_path)
    monkeypatch.setenv("SEQCLF_TEST_DATA", "synthetic")
    assert resolve("auto", places(tmp_path)) == "synthetic"
    monkeypatch.setenv("SEQCLF_TEST_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        resolve("auto", places(tmp_path))


def test_auto_takes_the_folder_if_there_is_data_in_it(tmp_path):
    here = places(tmp_path)
    here.folder.mkdir(parents=True)
    (here.folder / "aclImdb_v1.tar.gz.part").write_bytes(b"half")
    (here.folder / "aclImdb_v1.tar.gz.lock").touch()
    assert resolve("auto", here) == "synthetic"
    (here.folder / "train.csv").touch()
    assert resolve("auto", here) == str(here.folder)


def test_auto_falls_back_to_the_synthetic_corpus_loudly(tmp_path, capsys):
    assert resolve("auto", places(tmp_path)) == "synthetic"
    said = capsys.readouterr().err
    assert "SYNTHETIC" in said
    assert "make data" in said


class Silent(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_HEAD(self):
        self.server.asked.append(self.path)
        super().do_HEAD()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder, the address where it is served, and what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()

    def handler(*args):
        return Silent(*args, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}", server.asked
        server.shutdown()


def test_auto_fetches_the_archive_where_its_host_answers(tmp_path, served, capsys):
    folder, address, asked = served
    packed = pack(folder / "a.tar.gz", FILES)
    sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
    here = places(tmp_path, archive_url=f"{address}/a.tar.gz", archive_sha256=sha256)
    assert resolve("auto", here) == str(here.folder)
    assert "fetching the original archive" in capsys.readouterr().err
    assert load_reviews(DataConfig(source=str(here.folder))).train.num_rows == 24
    assert resolve("auto", here) == str(here.folder)
    assert asked == ["/a.tar.gz"]


def test_auto_goes_on_when_the_archive_is_not_the_right_one(tmp_path, served, capsys):
    folder, address, _ = served
    (folder / "a.tar.gz").write_bytes(b"something else")
    assert resolve("auto", places(tmp_path, archive_url=f"{address}/a.tar.gz")) == "synthetic"
    assert "checksum" in capsys.readouterr().err


@pytest.mark.timeout(30)  # the libraries' own patience is minutes
def test_a_server_that_never_answers_costs_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert resolve("auto", places(tmp_path, archive_url=f"{address}/a.tar.gz")) == "synthetic"


def test_the_hubs_files_are_taken_from_its_cache_without_asking(tmp_path):
    snapshot = tmp_path / "hub" / "datasets--stanfordnlp--imdb" / "snapshots" / "0123"
    (snapshot / "plain_text").mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    here = places(tmp_path)
    assert resolve("auto", here) == "synthetic"
    for part in ("train", "test"):
        file = snapshot / "plain_text" / f"{part}-00000-of-00001.parquet"
        pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), file)
    assert resolve("auto", here) == "hub"
    assert [len(files) for files in hub_files(here).values()] == [1, 1]
    [table] = open_source(DataConfig(source="hub"), here).splits["test"]
    assert table.column("text").to_pylist() == ["a", "b"]


def test_a_hub_out_of_reach_is_said(tmp_path):
    with pytest.raises(DataError, match=r"not in the hub's cache, and .* does not answer"):
        hub_files(places(tmp_path))


def test_local_files_are_read_without_a_single_connection(tmp_path, reviews_folder):
    for part in ("train", "test"):
        rows = datasets.Dataset.from_json(str(reviews_folder / f"{part}.jsonl"), cache_dir=str(tmp_path / "c"))
        (tmp_path / "data").mkdir(exist_ok=True)
        rows.to_parquet(tmp_path / "data" / f"{part}.parquet")
    assert read_without_connections(str(tmp_path / "data")) == "360\n"


def test_synthetic_texts_are_made_without_a_single_connection():
    assert int(read_without_connections("synthetic")) > 1000


def read_without_connections(source: str) -> str:
    code = (
        "import socket, sys\n"
        "def refuse(*args): print('CONNECTED', args); raise OSError\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from seqclf_core.config import DataConfig\n"
        "from seqclf_core.data.reviews import load_reviews\n"
        "print(load_reviews(DataConfig(source=sys.argv[1])).train.num_rows)\n"
    )
    command = [sys.executable, "-c", code, source]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout
