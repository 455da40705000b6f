"""MLflow's long tables of texts -> one row per run, each column under its own name and with its own type."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.tracking import names
from reports.records.database import Recorded
from seqclf_core.config import RunConfig

ABOUT = ["key", "name", "study", "role", "trial", "status", "outcome", "finish", "reason"]
SCORES = [names.BEST_VAL_ACCURACY, names.BEST_VAL_LOSS, names.TEST_ACCURACY, names.TEST_LOSS]
EVALUATED = [names.VAL_ACCURACY, names.VAL_LOSS, names.TRAIN_ACCURACY, names.TRAIN_LOSS]
SPEED = [names.TOKENS_PER_SECOND, names.SECONDS]
WORK = ["worked", names.TOTAL_SECONDS, names.SECONDS, names.TOKENS_PER_SECOND, "started", "ended"]
SIZES = ["used.train", "used.val", "used.test"]
DATA = ["data_scope", "digest", "data_set", "source", "split_method", "group_column", *SIZES]
PLACE = ["commit", "device", "precision", "kernel", "run_id", "experiment_id", "artifacts"]
ALWAYS = [*ABOUT, *SCORES, *EVALUATED, *WORK, *DATA, *PLACE]
"""Columns that are there whatever the runs recorded."""
METRICS = {*SCORES, *EVALUATED, *SPEED, names.TOTAL_SECONDS, "worked"}
"""Columns of numbers whatever they hold."""
COUNTED = {"trial", *SIZES}
"""Columns of whole numbers."""
TEXTS = {*ABOUT, *DATA, *PLACE} - COUNTED
"""Columns of texts, whatever they look like."""
CURVES = [names.TRAIN_LOSS, names.TRAIN_ACCURACY, names.VAL_LOSS, names.VAL_ACCURACY, *SPEED]

_OUTCOMES = {"FINISHED": "complete", "KILLED": "failed", "FAILED": "failed"}  # where no tag says it
_RENAMED = {
    names.COMMIT: "commit",
    names.ENDED: "finish",
    names.RANK: "search_rank",
    **{f"used.{name}": name for name in ("digest", "data_set", "source", "split_method", "group_column")},
}


def runs_table(found: Recorded) -> pd.DataFrame:
    """Return one row per run; ``frames.runs`` says what the columns mean."""
    base = found.runs.set_index("run_id", drop=False)
    tags = _wide(found.tags, base.index).rename(columns=_column_of_tag)
    settings = _wide(found.params, base.index)
    metrics = _wide(found.latest, base.index)
    more = sorted(set(map(str, metrics)) - METRICS)  # of later versions, or of a user's own
    table = pd.concat(
        [
            base[["run_id", "name", "study", "status", "experiment_id", "artifacts"]].astype("str"),
            base[["start", "end"]].apply(_times).set_axis(["started", "ended"], axis=1),
            _numbers(metrics.reindex(columns=[*SCORES, *EVALUATED, *SPEED, names.TOTAL_SECONDS, *more])),
            settings.apply(typed),
            tags.loc[:, ~tags.columns.str.startswith("mlflow.")],
        ],
        axis=1,
    )
    table = table.loc[:, ~table.columns.duplicated()]
    known = list(RunConfig().flat())
    first = [
        *ABOUT,
        *known,
        *sorted(set(map(str, settings)) - set(known)),
        *SCORES,
        *EVALUATED,
        *WORK,
        *DATA,
        *PLACE,
    ]
    others = sorted(set(map(str, table)) - set(first))
    table["worked"] = table[names.TOTAL_SECONDS].fillna(table[names.SECONDS])
    table = table.reindex(columns=[*first, *others])

    ended = table["status"].map(_OUTCOMES)
    table["outcome"] = table["outcome"].where(table["outcome"].notna(), ended).where(ended.notna(), "running")
    counts = [*COUNTED, *[name for name in others if name.startswith("used.")]]
    table[counts] = table[counts].apply(pd.to_numeric, errors="coerce").astype("Int64")
    return table.astype(dict.fromkeys(TEXTS, "str")).reset_index(drop=True)


def measured(metrics: pd.Series[str]) -> list[str]:
    """Return those of these metrics that an evaluation measures, on whatever split."""
    return sorted({name for name in metrics if name.startswith(("train/", "val/", names.SYSTEM)) or name in SPEED})


def curves_table(points: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    """Return one row per run and evaluation; ``frames.curves`` says what the columns mean.

    Args:
        points: MLflow's points, one row per run, metric and step.
        keys: MLflow's run id -> our key.
    """
    points = points.drop_duplicates(["run_id", "key", "step"], keep="last")
    # pivot refuses doubles, which pivot_table would average
    wide = points.pivot(index=["run_id", "step"], columns="key", values="value")  # noqa: PD010
    more = sorted(set(map(str, wide)) - set(CURVES))
    wide = _numbers(wide.reindex(columns=[*CURVES, *more])).dropna(how="all").reset_index()
    wide.insert(0, "key", wide.pop("run_id").map(keys).astype("str"))
    wide = wide.sort_values(["key", "step"], ignore_index=True)
    wide.insert(1, "evaluation", wide.groupby("key").cumcount() + 1)
    return wide.astype({"step": "int64", "evaluation": "int64"}).rename_axis(columns=None)


def typed(texts: pd.Series[str]) -> pd.Series[Any]:
    """Give a column of texts the narrowest type that holds all of them; ``None`` is a missing value.

    >>> typed(pd.Series(["3", "None", "5"])).dtype
    Int64Dtype()
    """
    values = texts.where(~texts.isin(["None", "null", ""]))
    present = values.dropna()
    if present.empty:
        return pd.Series(pd.NA, index=texts.index, dtype="str")
    if present.isin(["True", "False"]).all():
        return values.map({"True": True, "False": False}).astype("boolean")
    if present.str.fullmatch(r"-?\d{1,18}").all():
        return pd.to_numeric(values).astype("Int64")
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.astype(float) if numbers.notna().sum() == len(present) else values.astype("str")


def _wide(pairs: pd.DataFrame, runs: pd.Index[str]) -> pd.DataFrame:
    wide = pairs.pivot(index="run_id", columns="key", values="value")  # noqa: PD010
    return wide.reindex(runs).rename_axis(columns=None).rename(columns=str)


def _numbers(metrics: pd.DataFrame) -> pd.DataFrame:
    largest = sys.float_info.max  # what MLflow stores for infinity
    return metrics.astype(float).replace({largest: math.inf, -largest: -math.inf})


def _times(milliseconds: pd.Series[int]) -> pd.Series[pd.Timestamp]:
    return pd.to_datetime(pd.to_numeric(milliseconds).astype("Int64"), unit="ms", utc=True)


def _column_of_tag(tag: str) -> str:
    return _RENAMED.get(tag, tag.removeprefix("seqclf."))
