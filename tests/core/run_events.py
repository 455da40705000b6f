"""What tests compare of a run: all that it says, but for how long things took."""

from __future__ import annotations

from collections.abc import Iterable

from seqclf_core.events import Event, Saved

CLOCK = {"seconds", "tokens_per_second", "total_seconds", "system/cpu_percent", "system/memory_mb"}


def curve(events: Iterable[Event]) -> list[dict[str, object]]:
    """Return a run's events as values, without signs of life and without times."""
    values = [event.model_dump() for event in events if not isinstance(event, Saved)]
    for value in values:
        if "metrics" in value:
            value["metrics"] = {name: number for name, number in value["metrics"].items() if name not in CLOCK}
    return values
