"""What a run gets wrong stands on its study's page and with the run itself; texts of the data are only text."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports import frames
from reports.html import render
from reports.html.document import MarkedText, Texts
from reports.html.markdown import markdown
from reports.pages import build, errors
from reports.write import write_pages
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus, load_corpus
from tests.reports.pages.page_elements import Elements
from tests.reports.recorded_runs import MadeUp

HOSTILE = (
    "<script>alert(1)</script> so & <b>bold</b> `x` | [y](javascript:z) \"quoted' 'on\" </p></details>"
    "\u202eright\u2066 \u05e9\u05dc\u05d5\u05dd superb "
)
"""Markup of HTML and Markdown, quotes, and characters that turn the direction of text."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, reviews_folder) -> tuple[Corpus, Path, Path]:
    """The small reviews, each with markup in front; the data's folder and the folder of the runs."""
    data, runs = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("runs")
    for name in ("train.jsonl", "test.jsonl"):
        rows = [json.loads(line) for line in (reviews_folder / name).read_text().splitlines()]
        lines = [json.dumps({**row, "text": HOSTILE + row["text"]}) for row in rows]
        (data / name).write_text("\n".join(lines) + "\n")
    config = RunConfig().override({"data.source": str(data)})
    return load_corpus(config.data, runs / "cache"), data, runs


@pytest.fixture(scope="module")
def stores(fill, corpus) -> frames.Stores:
    encoded, data, runs = corpus
    made = [
        MadeUp(n, digest=encoded.summary.digest, changes={"data.source": str(data)}, tags={"used.val": "54"})
        for n in (1, 2)
    ]
    filled = fill(made)
    places = frames.runs(filled).set_index("key")["artifacts"]
    for run in made:
        _answer(Path(places[run.key].removeprefix("file://")) / "predictions", encoded, run.number)
    return frames.Stores(filled.tracking, filled.storage, runs / "cache")


def _answer(folder: Path, corpus: Corpus, seed: int) -> None:
    """Write predictions, and the most confident errors as a run keeps them."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    for part in ("val", "test"):
        split = getattr(corpus, part)
        table = pd.DataFrame({"row": split.rows, "label": split.labels.astype("int8")})
        table["probability"] = np.clip(0.5 + draw.normal(0, 0.2, len(table)), 0, 1).astype("float32")
        table.to_parquet(folder / f"{part}.parquet")
    lengths = np.diff(corpus.val.offsets)
    found = [
        {
            "row": int(corpus.val.rows[n]), "label": 1, "probability": 0.02, "first": 2,
            "tokens": ["?"] * int(lengths[n] - 2), "contributions": draw.normal(0, 1, lengths[n] - 2).tolist(),
        }
        for n in (0, 3)
    ]  # fmt: skip
    told = {"format": 1, "part": "val", "method": "gradient x input", "errors": found}
    (folder / "errors.json").write_text(json.dumps(told))


def best(stores: frames.Stores) -> pd.Series:
    runs = frames.runs(stores, role="trial")
    return runs.loc[runs["best/val_accuracy"].idxmax()]


def listed(section) -> list[MarkedText]:
    return [text for block in section.blocks if isinstance(block, Texts) for text in block.texts]


def test_the_studys_page_shows_the_errors_of_the_best_run_and_texts_are_only_text(stores):
    page = build.page(stores, "imdb", frames.runs(stores))
    (section,) = [s for part in page.parts for s in part.sections if s.title == "Errors of the best run"]
    assert best(stores)["key"] in section.sentences[0]
    texts = listed(section)
    assert len(texts) == 2
    for text in texts:
        whole = "".join(piece for piece, _ in text.spans)
        assert whole.startswith(HOSTILE)  # the text as it is, and not its tokens
        assert text.spans[0][0].startswith("<script")  # two tokens were not read
        assert {-4, 4} & {mark for _, mark in text.spans}
        assert text.title.startswith("negative 98.0 %, label positive, row ")
    html = render.study_page(page)
    found = Elements(html)
    assert len(found.named("script")) == 1  # ours
    assert not found.named("b")
    assert all(not (a.get("href") or "").startswith("javascript") for a in found.named("a"))
    assert "alert" in "".join(found.text)
    assert "gradient x input" in html
    assert found.named("details")
    text, _ = markdown(page, "now")
    assert "<script>" not in text
    assert re.search(r"Decisions by label", text)


def test_what_is_written_lies_beside_the_page_and_goes_when_another_run_is_the_best(stores, tmp_path):
    write_pages(stores, tmp_path, "imdb")
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("imdb/errors/*/*")}
    run = best(stores)["key"].split("/")[1]
    assert kept == {f"imdb/errors/{run}/errors.html", f"imdb/errors/{run}/errors.png"}
    picture = tmp_path / f"imdb/errors/{run}/errors.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    page = Elements((tmp_path / f"imdb/errors/{run}/errors.html").read_text())
    assert len(page.named("details")) == 2
    (tmp_path / "imdb/errors/0099").mkdir()
    (tmp_path / "imdb/errors/0099/errors.html").write_text("of the best run before")
    write_pages(stores, tmp_path, "imdb")
    assert not (tmp_path / "imdb/errors/0099").exists()


def test_texts_that_are_gone_leave_their_tokens_and_a_run_without_predictions_nothing(
    stores, corpus, fill, tmp_path
):
    data = corpus[1]
    away = shutil.move(data, tmp_path / "away")
    try:
        found = errors.read(stores, best(stores))
    finally:
        shutil.move(away, data)
    assert found is not None
    section = errors.section(found, "Errors")
    assert all(set("".join(p for p, _ in text.spans)) <= {"?", " "} for text in listed(section))
    assert "cannot be read any more" in section.blocks[-1].note
    other = fill([MadeUp(0)])
    assert errors.read(other, frames.runs(other, role="trial").iloc[0]) is None


def test_the_champion_has_a_section_where_it_is_another_run_than_the_best(stores, corpus):
    best_key = best(stores)["key"]
    other = next(key for key in frames.runs(stores, role="trial")["key"] if key != best_key)
    record = {"val_accuracy": 0.8, "version": "1", "run_id": "0" * 32, "files": {"model.safetensors": "a" * 64}}
    path = corpus[2] / "champion.json"
    for key, titles in (
        (other, ["Errors of the best run", "Errors of the champion"]), (best_key, ["Errors of the best run"])
    ):  # fmt: skip
        path.write_text(json.dumps({**record, "key": key}))
        assert frames.champion(stores) == key
        page = build.page(stores, "imdb", frames.runs(stores))
        assert [s.title for part in page.parts for s in part.sections if s.title.startswith("Errors")] == titles
    path.unlink()
    assert frames.champion(stores) is None


def test_an_ensemble_that_is_champion_has_its_errors_and_says_why_no_word_is_marked(stores, corpus, tmp_path):
    first = best(stores)["key"]
    second = next(key for key in frames.runs(stores, role="trial")["key"] if key != first)
    record: dict[str, Any] = {
        "key": first, "val_accuracy": 0.8, "version": "1", "run_id": "0" * 32, "files": {"0/a": "a" * 64},
        "members": {first: 0.75, second: 0.25},
    }  # fmt: skip
    path = corpus[2] / "champion.json"
    path.write_text(json.dumps(record))
    try:
        page = build.page(stores, "imdb", frames.runs(stores))
        write_pages(stores, tmp_path, "imdb")
        path.write_text(json.dumps({**record, "members": {first: 0.75, "deleted/0000": 0.25}}))
        without = build.page(stores, "imdb", frames.runs(stores))
    finally:
        path.unlink()
    assert not any(s.title == "Errors of the champion" for part in without.parts for s in part.sections)
    (section,) = [s for part in page.parts for s in part.sections if s.title == "Errors of the champion"]
    assert f"0.75 {first} + 0.25 {second}" in section.sentences[0]
    (worst,) = [block for block in section.blocks if isinstance(block, Texts)]
    assert "several models answer together" in worst.note
    each = frames.predictions([first, second], stores, parts=["val"])
    weighted = each.assign(p=each["probability"] * each["key"].map(record["members"]))
    mean = weighted.groupby(["row", "label"])["p"].sum()
    wrong = mean[(mean >= 0.5) != (mean.index.get_level_values("label") == 1)]
    assert len(worst.texts) == min(20, len(wrong))
    assert f"row {(wrong - 0.5).abs().idxmax()[0]:,}:" in worst.texts[0].title
    assert {mark for text in worst.texts for _, mark in text.spans} == {0}
    assert all(HOSTILE in "".join(piece for piece, _ in text.spans) for text in worst.texts)
    kept = {file.name for file in (tmp_path / "imdb/errors" / first.split("/")[1]).iterdir()}
    assert kept == {"errors.html", "errors.png", "ensemble.html", "ensemble.png"}
    write_pages(stores, tmp_path, "imdb")
    assert not (tmp_path / "imdb/errors" / first.split("/")[1] / "ensemble.html").exists()


def test_marks_are_in_proportion_to_the_strongest_word():
    error = {
        "text": "Not  good", "tokens": ["not", "good"], "contributions": [-2.0, 1.0], "first": 0, "row": 3,
        "probability": 0.9, "label": 0,
    }  # fmt: skip
    marked = errors._marked(error)
    assert marked.spans == [("Not", -4), ("  ", 0), ("good", 2)]
    assert marked.title == "positive 90.0 %, label negative, row 3: Not good"
    assert errors._marks([0.0, 0.0]) == [0, 0]
