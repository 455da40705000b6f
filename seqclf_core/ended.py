"""What a run leaves in its folder when it has ended: its settings' digest, its events, and digests of its files.

Without torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from seqclf_core.config import Settings
from seqclf_core.events import EVENT, Event, Finished, Progress, Started
from seqclf_core.files import atomic_write, sha256_of

EVENTS = "events.json"
"""Name within a run's folder."""


def recorded(folder: Path, config: Settings) -> list[Event]:
    """Return the events of a run that already ended here, with its files; none if it did not, or was another."""
    try:
        ended = json.loads((folder / EVENTS).read_text(encoding="utf-8"))
        if ended["config"] != config.digest():
            return []
        events = [EVENT.validate_python(each) for each in ended["events"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    last = events[-1] if events else None
    whole = isinstance(last, Finished) and all((folder / path).exists() for path in last.files.values())
    return events if whole and not changed(folder) else []


def record(folder: Path, config: Settings, events: Sequence[Started | Progress | Finished]) -> None:
    """Keep the events of a run that has ended, and the SHA-256 of each of its files."""
    ended = {
        "config": config.digest(),
        "events": [each.model_dump(mode="json") for each in events],
        "digests": {name: sha256_of(folder / name) for name in _files(folder, events)},
    }
    atomic_write(folder / EVENTS, json.dumps(ended))


def _files(folder: Path, events: Sequence[Started | Progress | Finished]) -> list[str]:
    """Return the path of each file within the folder that a run's end names, itself or by a folder above it."""
    named = [folder / path for event in events if isinstance(event, Finished) for path in event.files.values()]
    files = [file for path in named for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return sorted({file.relative_to(folder).as_posix() for file in files})


def changed(folder: Path) -> list[str]:
    """Return the files of a run that has ended which are missing or not what the run left, by path within it.

    A run that was recorded without digests, by an earlier version, has none.
    """
    try:
        digests = dict(json.loads((folder / EVENTS).read_text(encoding="utf-8")).get("digests", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return []
    return [name for name, digest in digests.items() if _sha256_or_none(folder / name) != digest]


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
