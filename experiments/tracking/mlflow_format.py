"""A journal's entries in MLflow's words: parameters, data set inputs, metrics, tags. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from mlflow.entities import Dataset, DatasetInput, InputTag

from experiments.tracking import names
from experiments.tracking.journal import Closed, Entry, Happened, Header, Setting
from seqclf_core.events import DataSummary, Finished, Progress, Started

# MLflow's bounds; it refuses longer tags, names and digests, and cuts parameters or refuses them by its settings.
PARAM_LENGTH, TAG_LENGTH, NAME_LENGTH, DIGEST_LENGTH = 6000, 5000, 400, 36

_SCHEMA = json.dumps({"mlflow_colspec": [{"type": "string", "name": "text"}, {"type": "long", "name": "label"}]})


def params(header: Header) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, value as Python writes it) of every setting."""
    for name, value in header.params.items():
        yield name, str(value)[:PARAM_LENGTH]


def tree(header: Header) -> dict[str, object]:
    """Return the settings as the tree that their dotted names describe, which ``RunConfig`` reads."""
    root: dict[str, object] = {}
    for name, value in header.params.items():
        *path, leaf = name.split(".")
        branch = root
        for step in path:
            below = branch.setdefault(step, {})
            assert isinstance(below, dict)
            branch = below
        branch[leaf] = value
    return root


def cut(tags: Mapping[str, Setting]) -> dict[str, str]:
    """Return tags as text, no longer than MLflow takes; those without a value are left out."""
    return {name: str(value)[:TAG_LENGTH] for name, value in tags.items() if value is not None}


def tags(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Yield the tags that these entries set: what the run ran on, and how it ended."""
    found: dict[str, Setting] = {}
    for entry in entries:
        if isinstance(entry, Happened) and isinstance(entry.event, Started):
            started, data = entry.event, entry.event.data
            found |= {
                names.DEVICE: started.device,
                names.PRECISION: started.precision,
                names.KERNEL: started.kernel,
                names.DATA_SCOPE: data.data_scope,
            }
            told = data.model_dump(exclude={"data_scope", "sizes", "duplicates", "notes"})
            found |= {f"used.{name}": value for name, value in told.items()}
            found |= {f"used.duplicates.{kind}": count for kind, count in data.duplicates.items()}
            found |= {f"used.{part}": size for part, size in data.sizes.items()}
            found["used.parameters"] = started.parameters
        elif isinstance(entry, Happened) and isinstance(entry.event, Finished):
            found[names.ENDED] = entry.event.reason
        elif isinstance(entry, Closed):
            found |= {names.OUTCOME: entry.outcome, names.REASON: entry.reason or None}
    yield from cut(found).items()


def inputs(entries: Sequence[Entry]) -> list[DatasetInput]:
    """Return the data set of the run, one for all its splits; empty unless the run starts in these entries."""
    return [
        DatasetInput(_dataset(event.data), [InputTag(names.DATASET_CONTEXT, ", ".join(event.data.sizes))])
        for entry in entries
        if isinstance(entry, Happened) and isinstance(event := entry.event, Started)
    ]


def _dataset(data: DataSummary) -> Dataset:
    name = (PurePath(data.source).name or data.source)[-NAME_LENGTH:]
    sizes = {f"num_{split}": size for split, size in data.sizes.items()}
    profile = {**sizes, "split_method": data.split_method, "group_column": data.group_column}
    return Dataset(
        name=name,
        digest=data.digest[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": data.source}),
        schema=_SCHEMA,
        profile=json.dumps(profile),
    )


def metrics(entries: Sequence[Entry], synced: int) -> Iterator[tuple[str, float, int, int]]:
    """Yield (name, value, time in ms, step in training examples) for the entries from ``synced`` on; no NaN.

    Args:
        entries: the whole journal: the final scores belong to the step of the last evaluation.
        synced: how many of them are not wanted.
    """
    step = 0
    for number, entry in enumerate(entries):
        event = entry.event if isinstance(entry, Happened) else None
        found: Mapping[str, float] = {}
        if isinstance(event, Progress):
            step, found = event.step, event.metrics
        elif isinstance(event, Finished):
            found = event.metrics
        if number >= synced:
            yield from ((name, value, entry.time, step) for name, value in found.items() if value == value)
