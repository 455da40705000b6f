"""What a model gets wrong: decisions by label, all thresholds, by length, and the texts that misled it most.

A section of the study's page on its best run, and on the champion where that is another run of the study. As a
page and a picture of its own it is also kept among the files of that run in MLflow.

The texts are of the validation split alone: who changes a model by what stands here has seen them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from reports import figures, frames
from reports.html import document, formatting, svg
from reports.html.document import Column, Figure, MarkedText, RunFiles, Section, Texts
from reports.pages.search import StudyData
from reports.stats import discrimination
from seqclf_core.data.vocabulary import word_spans
from seqclf_core.errors import UserError
from seqclf_core.training.predictions import decide

PARTS = {"val": "validation", "test": "test"}
MARKS = 4
"""Shades of a word; the strongest word of a text has the last."""
MOST = 20
"""Errors that are shown of a run that kept none of its own."""
FEW = 4
"""Members of an ensemble that its title names one by one."""
TITLE_LENGTH = 70
"""Characters of a text that its title shows."""
WORDS = ("negative", "positive")
COLOURS = (svg.ACCENT, svg.OTHER, svg.RULE)


@dataclass(frozen=True)
class RunErrors:
    """What is known of the answers of one run."""

    key: str
    name: str
    said: dict[str, pd.DataFrame]
    """Split (val, test) -> its predictions."""
    lengths: dict[str, pd.DataFrame]
    """Split -> accuracy by length; without those whose lengths are not known."""
    worst: pd.DataFrame
    """Rows of ``frames.errors``; ``text`` is missing where the texts cannot be read any more."""
    ensemble: bool = False
    """Whether the answers are those of an ensemble in which this run counts most."""


def read(stores: frames.Stores, run: pd.Series[Any]) -> RunErrors | None:
    """Read the answers of a run; None where it kept none.

    Args:
        stores: where to read.
        run: its row of ``frames.runs``.
    """
    key = str(run["key"])
    predictions = frames.predictions([key], stores)
    return _found(stores, run, str(run["name"]), predictions, frames.errors([key], stores))


def read_ensemble(stores: frames.Stores, run: pd.Series[Any], members: Mapping[str, float]) -> RunErrors | None:
    """Read the answers of several runs together; None where one of them kept none.

    Args:
        stores: where to read.
        run: row of ``frames.runs`` of the run that counts most.
        members: key of each run -> its weight.
    """
    each = frames.predictions(list(members), stores)
    each = each.assign(probability=each["probability"].astype(float) * each["key"].map(members))
    of_text = each.groupby(["part", "row", "label"], as_index=False)
    together = of_text.agg(probability=("probability", "sum"), answers=("key", "count"))
    together = together[together["answers"] == len(members)]
    said = " + ".join(f"{weight:.2f} {key}" for key, weight in members.items())
    if len(members) > FEW:
        said = f"of {len(members)} runs, {run['key']} with the largest weight, {max(members.values()):.2f}"
    found = _found(stores, run, f"The ensemble {said}", together, pd.DataFrame(columns=frames.ERRORS))
    return replace(found, ensemble=True) if found else None


def _found(
    stores: frames.Stores, run: pd.Series[Any], name: str, predictions: pd.DataFrame, worst: pd.DataFrame
) -> RunErrors | None:
    key = str(run["key"])
    by_part = {part: predictions[predictions["part"] == part] for part in PARTS}
    said = {part: of_part for part, of_part in by_part.items() if of_part["label"].nunique() == 2}
    if not said:
        return None
    lengths = {}
    for part in said:
        known = frames.reviews(stores, str(run["digest"]), part)
        if known is not None and set(said[part]["row"]) <= set(known.index):
            lengths[part] = discrimination.by_length(said[part], known["tokens"])
    without_tokens = worst.empty and "val" in said
    if without_tokens:
        worst = _most_confident(said["val"])
    texts = pd.Series(_texts(stores, key, worst), worst.index, "str")
    if without_tokens:  # of these nothing is known but their texts
        worst, texts = worst[texts.notna()], texts.dropna()
    return RunErrors(key, name, said, lengths, worst.assign(text=texts))


def _most_confident(said: pd.DataFrame) -> pd.DataFrame:
    """Return the wrong answers of which a model was most sure, without tokens: rows as of ``frames.errors``."""
    wrong = said[decide(said["probability"]) != (said["label"] == 1)]
    sure = (wrong["probability"] - 0.5).abs().sort_values(ascending=False, kind="stable")
    worst = wrong.loc[sure.index[:MOST]].assign(first=0, method="")
    none: pd.Series[Any] = pd.Series([[] for _ in range(len(worst))], worst.index, dtype=object)
    return worst.assign(tokens=none, contributions=none).reset_index(drop=True)


def _texts(stores: frames.Stores, key: str, worst: pd.DataFrame) -> list[str | None]:
    if worst.empty:
        return []
    try:
        known = frames.texts(stores, key=key)
    except UserError:
        return [None] * len(worst)
    of_part = known[known["part"] == worst["part"].iloc[0]].set_index("row")["text"]
    return [of_part.get(row) for row in worst["row"]]


def best_run(data: StudyData) -> Section | None:
    """Show what the best run by validation gets wrong."""
    return _section(data, _best_key(data), "Errors of the best run")


def champion(data: StudyData) -> Section | None:
    """Show what the champion gets wrong: another of these runs than the best, or several that answer together."""
    if data.stores is None:
        return None
    try:
        key, members = frames.champion(data.stores), frames.champion_members(data.stores)
        runs = data.runs[data.runs["key"] == key]
        if members and len(runs):
            found = read_ensemble(data.stores, runs.iloc[0], members)
            return section(found, "Errors of the champion") if found else None
    except UserError:  # the commands that answer from it say so
        return None
    return None if key == _best_key(data) else _section(data, key, "Errors of the champion")


def _best_key(data: StudyData) -> str | None:
    ranked = data.ranked
    return None if ranked.empty else str(ranked["key"].iloc[0])


def _section(data: StudyData, key: str | None, title: str) -> Section | None:
    runs = data.runs[data.runs["key"] == key]
    if data.stores is None or runs.empty:
        return None
    found = read(data.stores, runs.iloc[0])
    return section(found, title) if found else None


def section(found: RunErrors, title: str) -> Section:
    """Tell what a run gets wrong.

    Args:
        found: what is known of its answers.
        title: of the section.
    """
    panels = [svg.panel(lambda axes: _drawn_roc(found, axes), "ROC")]
    caption = "The dot is the point at which the model decides, a probability of one half."
    if found.lengths:
        panels.append(svg.panel(lambda axes: _drawn_lengths(found, axes), "Accuracy by length of text"))
        caption += " Bins of length hold about as many texts each; lines are their 95 % limits."
    blocks: list[document.Block] = [_counts(found), Figure(panels, caption)]
    if len(found.worst):
        blocks.append(worst(found))
    name = found.name if found.ensemble else f"{found.name} ({found.key})"
    sentences = [f"{name}. The test split is shown and decides nothing."]
    kept = RunFiles(found.key, found.name, picture(found), found.ensemble)
    return Section(title, sentences, blocks, kept)


def _named(by_part: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {PARTS[part]: by_part[part] for part in PARTS if part in by_part}


def _drawn_roc(found: RunErrors, axes: Axes) -> None:
    figures.roc(_named(found.said), COLOURS, axes).set_title("All thresholds")


def _drawn_lengths(found: RunErrors, axes: Axes) -> None:
    figures.lengths(_named(found.lengths), COLOURS, axes).set_title("Accuracy by length")


def _counts(found: RunErrors) -> document.Table:
    rows = []
    for part, name in PARTS.items():
        if part in found.said:
            counts = discrimination.confusion(found.said[part])
            area = discrimination.area(discrimination.roc(found.said[part]))
            said = ((counts.true_negative, counts.false_positive), (counts.false_negative, counts.true_positive))
            for label, (negative, positive) in zip(WORDS, said, strict=True):
                right = (negative, positive)[WORDS.index(label)] / (negative + positive)
                rows.append((name, label, negative, positive, right, area))
    table = pd.DataFrame(rows, columns=["split", "label", "negative", "positive", "right", "area"])
    columns = [
        Column("split", "Split"),
        Column("label", "The label says"),
        Column("negative", "Model: negative", "{:,}".format, number=True),
        Column("positive", "Model: positive", "{:,}".format, number=True),
        Column("right", "Right, %", formatting.percent, number=True),
        Column("area", "Area under ROC", "{:.4f}".format, number=True),
    ]
    return document.table(table, columns, "Decisions by label")


def worst(found: RunErrors) -> Texts:
    """Return the errors of which a run was most sure, with what each word spoke for."""
    texts = [_marked(error) for error in found.worst.to_dict("records")]
    method = str(found.worst["method"].iloc[0])
    without = (
        "several models answer together, and each reads tokens of its own"
        if found.ensemble
        else "this run kept no contributions of tokens, as only LSTMs do"
    )
    note = f"Of the validation split. Which words speak for an answer is not shown: {without}."
    if method:
        note = (
            f"Of the validation split. What each token adds to the log-odds of positive, by {method}: blue speaks "
            "for positive, orange for negative, and the strongest word of a text has the fullest colour. "
            "It is an estimate for small changes of one token, and not what the model would say without it."
        )
    if found.worst["text"].isna().any():
        note += " The texts cannot be read any more where the run found them, so these are its tokens."
    return Texts(f"The {len(texts)} most confident errors", texts, note)


def _marked(error: dict[Any, Any]) -> MarkedText:
    marks = _marks(error["contributions"])
    text, tokens, first = error["text"], error["tokens"], int(error["first"])
    words = word_spans(text) if isinstance(text, str) else []
    if not isinstance(text, str) or len(words) < first + len(tokens):  # it is not there, or has no word
        pieces = [each for token, mark in zip(tokens, marks, strict=True) for each in ((token, mark), (" ", 0))]
    else:
        pieces, end = [], 0
        for (start, stop), mark in zip(words[first : first + len(tokens)], marks, strict=True):
            pieces += [(text[end:start], 0), (text[start:stop], mark)]
            end = stop
        pieces.append((text[end:], 0))
    pieces = _joined(pieces)
    whole = " ".join("".join(piece for piece, _ in pieces).split())
    sure = max(error["probability"], 1 - error["probability"])
    head = f"{WORDS[decide(error['probability'])]} {formatting.percent(sure, 1)} %, label {WORDS[error['label']]}"
    title = f"{head}, row {error['row']:,}"
    return MarkedText(f"{title}: {svg.shortened(whole, TITLE_LENGTH)}" if whole else title, pieces)


def _marks(contributions: Sequence[float]) -> list[int]:
    """Return the shade of each word, from -4 to 4: in proportion to the strongest of the text."""
    strongest = max(map(abs, contributions), default=0.0)
    return [round(MARKS * value / strongest) if strongest else 0 for value in contributions]


def _joined(pieces: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Join neighbours that are not marked."""
    joined: list[tuple[str, int]] = []
    for piece, mark in pieces:
        if joined and not mark and not joined[-1][1]:
            joined[-1] = (joined[-1][0] + piece, 0)
        elif piece:
            joined.append((piece, mark))
    return joined


def picture(found: RunErrors) -> bytes:
    """Return the figures about the errors of one run as one PNG."""
    drawing = Drawing(figsize=(12, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(drawing)
    left, middle, right = drawing.subplots(1, 3)
    part = "val" if "val" in found.said else "test"
    figures.confusion(found.said[part], left).set_title(f"Decisions on the {PARTS[part]} split")
    figures.roc(_named(found.said), axes=middle).set_title("All thresholds; the dot: one half")
    if found.lengths:
        figures.lengths(_named(found.lengths), axes=right).set_title("Accuracy by length of text")
    else:
        right.set_axis_off()
    out = io.BytesIO()
    drawing.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
