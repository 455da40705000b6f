"""``seqclf data``: fetch the original IMDB archive, where ``DATA=auto`` finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Fetch the original IMDB archive (80 MB); what has arrived is kept when it is stopped."""

    folder: Path = Path("data/imdb")
    """Folder to put it in."""
    url: str | None = None
    """Address of a mirror of the archive; without it, the address of the original."""
    sha256: str | None = None
    """Checksum that the mirror's archive must have; without it, the checksum of the original."""


def main(arguments: Sequence[str]) -> None:
    """Fetch the archive and say where it is."""
    options = parse(Options, arguments, "data")
    print(f"Fetching the archive into {options.folder}.", flush=True)
    from seqclf_core.data.download import ARCHIVE_SHA256, ARCHIVE_URL, fetch

    url = options.url or ARCHIVE_URL
    file = fetch(url, options.folder / url.rsplit("/", 1)[-1], options.sha256 or ARCHIVE_SHA256)
    print(f"{file} is complete.")
