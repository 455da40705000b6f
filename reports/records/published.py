"""Published studies: small CSV files in a repository, from which their pages are made again, figure by figure.

    imdb/runs.csv       one row per run, as ``frames.runs`` gives them
    imdb/curves.csv     one row per run and evaluation, as ``frames.curves`` gives them
    imdb/answers.csv    one row per run and split: what the run answered to each text, packed
    texts.csv           one row per data set and split: label, length and movie of each text, packed; no words

A packed column is a small array, compressed and written in base 85. Answers are either ``right``, a bit for each
text, or ``per mille``, the probability of the positive label rounded to thousandths, on the side of one half where
it was. Pages are made from these files, so that they say nothing that these do not.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.tracking.paths import folder_name
from reports.records.frames_from_mlflow import ALWAYS, COUNTED, METRICS, TEXTS, typed
from reports.records.spreadsheet import from_csv, to_csv
from seqclf_core.errors import UserError
from seqclf_core.files import atomic_write

RUNS = "runs.csv"
CURVES = "curves.csv"
ANSWERS = "answers.csv"
KNOWN_TEXTS = "texts.csv"
OF_THIS_MACHINE = ["run_id", "experiment_id", "artifacts"]
"""Columns that mean nothing elsewhere."""
RIGHT = "right"
PER_MILLE = "per mille"
DIGITS = 7
"""Significant digits of a curve's values."""


def studies(root: Path) -> list[str]:
    """Return the folders of the studies that are published here; a report alone has no curves beside its runs."""
    return sorted(path.parent.name for path in root.glob(f"*/{CURVES}"))


def read_runs(root: Path, study: str | None = None) -> pd.DataFrame:
    """Return what was published of ``frames.runs``; all columns that runs have are there.

    Raises:
        UserError: if a file cannot be read.
    """
    chosen = studies(root) if study is None else [folder_name(study)]
    texts = [from_csv(file) for name in chosen if (file := root / name / RUNS).is_file()]
    table = pd.concat(texts, ignore_index=True) if texts else pd.DataFrame(columns=["key", "study", "started"])
    table = table.reindex(columns=[*table.columns, *(name for name in ALWAYS if name not in table)])
    for name in map(str, table):
        table[name] = _typed(name, table[name])
    return table.sort_values("started", kind="stable", ignore_index=True)


def _typed(name: str, cells: pd.Series[str]) -> pd.Series[Any]:
    if name in ("started", "ended"):
        return pd.to_datetime(cells, utc=True).dt.as_unit("us")
    if name in COUNTED or (name.startswith("used.") and cells.dropna().str.fullmatch(r"\d+").all()):
        return pd.to_numeric(cells).astype("Int64")
    if name in METRICS or "/" in name:
        return pd.to_numeric(cells).astype(float)
    if name == "seed" or name.startswith(("data.", "model.", "train.")):
        return typed(cells)
    return cells.astype("str") if name in TEXTS else cells


def read_curves(root: Path, study: str | None = None) -> pd.DataFrame:
    """Return what was published of ``frames.curves``."""
    chosen = studies(root) if study is None else [folder_name(study)]
    tables = [pd.read_csv(file) for name in chosen if (file := root / name / CURVES).is_file()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["key", "evaluation", "step"])
    return table.astype({"key": "str", "evaluation": "int64", "step": "int64"})


def read_answers(root: Path, keys: Sequence[str], parts: Sequence[str]) -> pd.DataFrame:
    """Return what was published of ``frames.predictions``.

    Where only right and wrong are published, a probability is 0 or 1: the decision, without how sure it was.
    """
    found = []
    wanted = set(keys)
    for study in {key.rpartition("/")[0] for key in keys}:
        file = root / folder_name(study) / ANSWERS
        if not file.is_file():
            continue
        table = from_csv(file)
        for row in table[table["key"].isin(wanted) & table["part"].isin(parts)].itertuples():
            texts = read_texts_of(root, str(row.digest), str(row.part))
            if texts is None:
                raise UserError(f"{file}: the texts {row.digest} of {row.key} are not in {root / KNOWN_TEXTS}.")
            labels = texts["label"].to_numpy()
            if row.form == RIGHT:
                right = np.unpackbits(unpacked(str(row.packed), np.uint8), count=len(labels)).astype(bool)
                probability = np.where(right, labels, 1 - labels).astype(float)
            else:
                probability = unpacked(str(row.packed), np.uint16) / 1000
            found.append(
                pd.DataFrame(
                    {
                        "key": row.key,
                        "part": row.part,
                        "row": texts.index,
                        "label": labels,
                        "probability": probability,
                    }
                )
            )
    empty = pd.DataFrame(columns=["key", "part", "row", "label", "probability"])
    return pd.concat(found, ignore_index=True)[list(empty)] if found else empty


def read_texts_of(root: Path, digest: str, part: str) -> pd.DataFrame | None:
    """Return label, length and movie of the texts of a split, None where they are not published.

    Returns:
        Index ``row``; ``label``, ``tokens``, and ``movie`` where the data has groups; as ``known_reviews``.
    """
    file = root / KNOWN_TEXTS
    table = from_csv(file) if file.is_file() else pd.DataFrame(columns=["digest", "part"])
    for row in table[(table["digest"] == digest) & (table["part"] == part)].to_dict("records"):
        columns = {
            name: unpacked(str(row[name]), np.int32)
            for name in ("label", "tokens", "movie")
            if pd.notna(row[name])
        }
        return pd.DataFrame(columns, index=pd.Index(unpacked(str(row["row"]), np.int32), name="row"))
    return None


def write_study(root: Path, study: str, runs: pd.DataFrame, curves: pd.DataFrame, answers: pd.DataFrame) -> None:
    """Write the three tables of a study in place of those that are there.

    Args:
        root: folder of all that is published.
        study: its name.
        runs: its rows of ``frames.runs``; what belongs to one machine is left out.
        curves: theirs.
        answers: rows of ``answers_of``.
    """
    folder = root / folder_name(study)
    kept = runs.drop(columns=OF_THIS_MACHINE).dropna(axis="columns", how="all")
    numbers = [name for name, kind in curves.dtypes.items() if pd.api.types.is_float_dtype(kind)]
    rounded = curves.assign(**{str(name): curves[name].map(_rounded) for name in numbers})
    for name, table in ((RUNS, kept), (CURVES, rounded.dropna(axis="columns", how="all")), (ANSWERS, answers)):
        atomic_write(folder / name, to_csv(table).encode())


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def answers_of(
    predictions: pd.DataFrame, digests: Mapping[tuple[str, str], str], probabilities: bool
) -> pd.DataFrame:
    """Pack what runs answered: a row per run and split.

    Args:
        predictions: rows of ``frames.predictions``, of each run and split in the order of the texts.
        digests: run's key and split -> digest of the data under which the texts of the split are published.
        probabilities: whether to keep these, to thousandths, or right and wrong alone.
    """
    rows = []
    for (key, part), said in predictions.groupby(["key", "part"], sort=False):
        chance = said["probability"].to_numpy(dtype=float)
        positive = chance >= 0.5
        if probabilities:
            mille = np.clip(np.rint(1000 * chance), 1, 999)  # at 0 or 1 an error would cost all
            kept = packed(np.where(positive, np.maximum(mille, 500), np.minimum(mille, 499)).astype(np.uint16))
        else:
            kept = packed(np.packbits(positive == (said["label"].to_numpy() == 1)))
        form = PER_MILLE if probabilities else RIGHT
        rows.append(
            {"key": key, "part": part, "digest": digests[str(key), str(part)], "form": form, "packed": kept}
        )
    return pd.DataFrame(rows, columns=["key", "part", "digest", "form", "packed"])


def write_texts(root: Path, known: Iterable[tuple[str, str, pd.DataFrame]]) -> None:
    """Add what is known of texts to what is published.

    Args:
        root: folder of all that is published.
        known: digest of the data, split, and a table as ``read_texts_of`` returns it.
    """
    file = root / KNOWN_TEXTS
    columns = ["digest", "part", "row", "label", "tokens", "movie"]
    before = from_csv(file) if file.is_file() else pd.DataFrame(columns=columns)
    rows = pd.DataFrame(list(_rows_of(known)), columns=columns)
    table = pd.concat([before, rows]).drop_duplicates(["digest", "part"], keep="last")
    atomic_write(file, to_csv(table.sort_values(["digest", "part"])).encode())


def _rows_of(known: Iterable[tuple[str, str, pd.DataFrame]]) -> Iterator[dict[str, str]]:
    for digest, part, table in known:
        arrays = {name: packed(table[name].to_numpy().astype(np.int32)) for name in map(str, table)}
        yield {"digest": digest, "part": part, "row": packed(table.index.to_numpy().astype(np.int32)), **arrays}


def packed(values: npt.NDArray[Any]) -> str:
    """Return an array as text."""
    return base64.b85encode(zlib.compress(values.tobytes(), 9)).decode()


def unpacked(text: str, kind: type[np.generic]) -> npt.NDArray[Any]:
    """Return the array that was packed.

    Raises:
        UserError: if the text is none that ``packed`` made.
    """
    try:
        return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=kind)
    except (ValueError, zlib.error) as error:
        raise UserError(f"A published column cannot be unpacked ({error}): {text[:20]}...") from error
