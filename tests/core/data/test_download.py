"""Fetching the archive, against a server of our own that breaks off, refuses ranges or sends something else."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seqclf_core.data.download import fetch
from seqclf_core.errors import DataError
from studies.commands.data import main

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; what it does wrong is set on it, what it was asked for is read off it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/file.tar.gz"
        self.ranges = []
        self.break_off_after = []  # bytes to send in the first, second, ... answer
        self.understands_ranges = True
        self.statuses = []  # of the first answers, instead of content


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.statuses:
            self.send_response(self.server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.understands_ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("Content-Encoding", "x-gzip")  # as some servers call every .gz
        self.end_headers()
        data = CONTENT[start:]
        if self.server.break_off_after:
            data = data[: self.server.break_off_after.pop(0)]
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_a_file_arrives_once(server, tmp_path):
    target = tmp_path / "deep" / "file.tar.gz"
    assert fetch(server.url, target, SHA256) == target
    assert target.read_bytes() == CONTENT
    fetch(server.url, target, SHA256)
    assert len(server.ranges) == 1
    assert not list(target.parent.glob("*.part"))


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server, tmp_path):
    server.break_off_after = [100_000, 50_000]
    fetch(server.url, tmp_path / "file", SHA256, wait=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_what_has_arrived_is_kept_for_the_next_start(server, tmp_path):
    server.break_off_after = [300_000, 0]
    with pytest.raises(DataError, match="goes on from there"):
        fetch(server.url, tmp_path / "file", SHA256, attempts=2, wait=0)
    assert not (tmp_path / "file").exists()
    fetch(server.url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=300000-"


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server.break_off_after = [100_000]
    server.understands_ranges = False
    fetch(server.url, tmp_path / "file", SHA256, wait=0)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 1000])
def test_a_part_that_is_complete_or_too_long_ends_well(server, tmp_path, extra):
    (tmp_path / "file.part").write_bytes(CONTENT + b"x" * extra)
    fetch(server.url, tmp_path / "file", SHA256, wait=0)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_of_it_stays(server, tmp_path):
    with pytest.raises(DataError, match=r"has the checksum .* expected 0000"):
        fetch(server.url, tmp_path / "file", "0" * 64)
    assert not list(tmp_path.glob("file*.part"))
    assert not (tmp_path / "file").exists()


def test_a_damaged_file_under_the_right_name_is_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT[:-1])
    fetch(server.url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server, tmp_path):
    server.statuses = [503, 429]
    fetch(server.url, tmp_path / "file", SHA256, wait=0)
    asked = len(server.ranges)
    server.statuses = [404]
    with pytest.raises(DataError, match="404"):
        fetch(server.url, tmp_path / "other", SHA256, wait=0)
    assert len(server.ranges) == asked + 1


def test_two_at_once_give_one_whole_file(server, tmp_path):
    threads = [threading.Thread(target=fetch, args=(server.url, tmp_path / "file", SHA256)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_the_command_says_where_the_archive_is_or_what_is_wrong(server, tmp_path, capsys):
    main(["--folder", str(tmp_path), "--url", server.url, "--sha256", SHA256])
    assert (tmp_path / "file.tar.gz").read_bytes() == CONTENT
    assert "file.tar.gz is complete" in capsys.readouterr().out
    with pytest.raises(DataError, match="checksum"):
        main(["--folder", str(tmp_path), "--url", server.url, "--sha256", "1" * 64])
