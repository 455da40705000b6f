"""What a run leaves in its folder when it has ended: its settings' digest and its events. Without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from seqclf_core.config import Settings
from seqclf_core.events import EVENT, Event, Finished, Progress, Started
from seqclf_core.files import atomic_write

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
    return events if whole else []


def record(folder: Path, config: Settings, events: Sequence[Started | Progress | Finished]) -> None:
    """Keep the events of a run that has ended."""
    ended = {"config": config.digest(), "events": [each.model_dump(mode="json") for each in events]}
    atomic_write(folder / EVENTS, json.dumps(ended))
