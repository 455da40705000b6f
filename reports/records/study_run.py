"""A study's own run, the parent of its trials: what the study set out to do, and whether it is at its end."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan


@dataclass(frozen=True)
class StudyRun:
    """What the run of a study says besides its trials."""

    study: str
    plan: StudyPlan
    command: str
    """Command line that runs the study again."""
    changed: str
    """Settings that differ from those of the study's file, empty where none does."""
    running: bool

    @property
    def drawn(self) -> dict[str, bool]:
        """Settings that its trials draw, and of each whether on a logarithmic scale."""
        return {
            name: bool(json.loads(text)["attributes"].get("log", False))
            for name, text in self.plan.searched.items()
        }


def own_studies(paths: RunPaths) -> dict[str, str]:
    """Return study -> uid of every study that has its journal here; one that cannot be read is left out."""
    found = {}
    for path in paths.study_journals():
        with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
            header = json.loads(file.readline())["header"]
            if uid := header.get("uid") or header["tags"].get(names.UID):
                found[str(header["key"]).rpartition("/")[0]] = str(uid)
    return found


def read_study_run(runs: pd.DataFrame) -> StudyRun | None:
    """Return the study's own run among those of one study; None among runs of an experiment.

    Args:
        runs: rows of ``frames.runs``.

    Raises:
        UserError: if its plan cannot be read, as that of a newer version.
    """
    for row in runs[runs["role"] == "study"].head(1).to_dict("records"):
        texts = {str(name): value for name, value in row.items() if isinstance(value, str)}
        tags = {names.PREFIX + name: value for name, value in texts.items()}
        return StudyRun(
            study=texts["study"],
            plan=StudyPlan.from_tags(tags) or StudyPlan(question=texts.get("question", "")),
            command=texts.get("command", ""),
            changed=texts.get("changed", ""),
            running=texts["outcome"] == "running",
        )
    return None
