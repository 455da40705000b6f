"""Fetch the original archive into ``data/imdb``: resumed, checked, with a progress bar.

An unfinished transfer stays beside its target as ``*.part``; only a whole file with the right checksum gets its
name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import requests
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from urllib3.exceptions import HTTPError

from seqclf_core.errors import DataError
from seqclf_core.files import sha256_of, sync

ARCHIVE_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
ARCHIVE_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fa7008942e91923d1658fe0"

_CHUNK = 2**16
_TIMEOUT = (5, 30)  # seconds to connect, seconds without a byte


class _Broken(Exception):
    """The transfer broke off, or the server is busy: worth another try from where it stands."""


def fetch(url: str, target: Path, sha256: str, *, attempts: int = 5, wait: float = 1.0) -> Path:
    """Download a file unless it is there already; go on where an earlier attempt stopped.

    Args:
        url: http or https address.
        target: where the file shall lie; its folder is made.
        sha256: checksum that the file must have, in hexadecimal.
        attempts: how often to try before giving up.
        wait: seconds before the second attempt; doubled each time, at most 30.

    Returns:
        ``target``.

    Raises:
        DataError: if the file cannot be had, or is not the one expected.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # a second one waits, and finds the file there
            if target.is_file() and sha256_of(target) == sha256:
                return target
            again = Retrying(
                stop=stop_after_attempt(attempts),
                wait=wait_exponential(wait, max=30),
                retry=retry_if_exception_type(_Broken),
                before_sleep=_say,
                reraise=True,
            )
            again(_transfer, url, part)
            if (found := sha256_of(part)) != sha256:
                part.unlink()
                raise DataError(
                    f"{url}: the file has the checksum {found}; expected {sha256}. It was deleted. "
                    "Try again; if it happens twice, the file at this address is not the one we know."
                )
            sync(part)
            part.replace(target)
            sync(target.parent)
    except _Broken as error:
        raise DataError(f"{url}: {error}. What has arrived is kept; `make data` goes on from there.") from error
    except requests.RequestException as error:
        raise DataError(
            f"{url}: cannot be fetched: {error}. Look at the network, and run `make data` again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{error.filename or target}: cannot be written: {error.strerror or error}. Make room, "
            "or allow writing."
        ) from error
    return target


def _transfer(url: str, part: Path) -> None:
    """Append to ``part`` what is missing of the file."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if response.headers.get("Content-Range") != f"bytes */{done}":
                    part.unlink()
                    raise _Broken("what had arrived is longer than the file; starting over")
                return  # nothing is missing
            if response.status_code >= 500 or response.status_code == requests.codes.too_many_requests:
                raise _Broken(f"the server is busy ({response.status_code} {response.reason})")
            response.raise_for_status()
            resumed = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
            if not (response.status_code == requests.codes.partial_content and resumed):
                done = 0  # the server sends the whole file, whatever was asked for
            missing = response.headers.get("Content-Length")
            with part.open("ab" if done else "wb") as file, _progress() as progress:
                bar = progress.add_task(part.stem, completed=done, total=done + int(missing) if missing else None)
                # raw: some servers call a .tar.gz "encoded", and requests would unpack it
                for data in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(data)
                    progress.advance(bar, len(data))
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        raise _Broken(f"the transfer broke off ({error})") from error


def _say(state: RetryCallState) -> None:
    assert state.outcome is not None
    print(f"{state.outcome.exception()}; trying again in {state.upcoming_sleep:.0f} s", file=sys.stderr)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
