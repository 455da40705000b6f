"""What the figures of a search show: every run once, no score that a run does not have, nothing hidden unsaid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from reports import frames
from reports.html import markdown, render
from reports.html.document import FEWEST_POINTS, Figure, Page, Table
from reports.html.marks import Mark, said
from reports.html.svg import panel
from reports.pages import build, search_tables
from reports.records.study_run import read_study_run
from tests.reports.pages.browser import CHROMIUM, chromium, opened
from tests.reports.recorded_runs import study_of

SEARCH = (
    "Course of the search",
    "Learning curves",
    "Accuracy by setting",
    "Settings together",
    "What accuracy costs",
)

LIT = "[...document.querySelectorAll('svg.panel')].map(panel => panel.querySelector('.lit')?.dataset.run)"


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    return fill(study_of(14))


@pytest.fixture(scope="module")
def runs(stores) -> pd.DataFrame:
    found = frames.runs(stores, "imdb")
    return found[found["role"] == "trial"]


@pytest.fixture(scope="module")
def page(stores) -> Page:
    return build.page(stores, "imdb", frames.runs(stores, "imdb"))


def panels(page: Page) -> dict[str, str]:
    """Return what stands for each panel -> its SVG."""
    blocks = [block for section in page.parts[0].sections for block in section.blocks]
    drawn = [str(each) for block in blocks if isinstance(block, Figure) for each in block.panels]
    return {re.findall(r'aria-label="([^"]*)"', svg)[0]: svg for svg in drawn}


def keys(svg: str) -> set[str]:
    return set(re.findall(r'data-run="([^"]*)"', svg))


def made_up(**columns: Any) -> pd.DataFrame:
    size = len(next(iter(columns.values())))
    known = {"key": [f"s/{i}" for i in range(size)], "name": ["run"] * size, "outcome": ["complete"] * size}
    scores = {"best/val_accuracy": [float("nan")] * size, "val/accuracy": [float("nan")] * size}
    return pd.DataFrame({**known, **scores, "trial": pd.array(range(size), dtype="Int64"), **columns})


def test_the_best_so_far_never_falls_and_is_of_complete_runs():
    outcomes = ["pruned", "complete", "complete", "pruned", "failed", "complete", "running"]
    best = [float("nan"), 0.7, 0.6, float("nan"), float("nan"), 0.8, float("nan")]
    last = [0.95, 0.65, 0.6, 0.99, float("nan"), 0.75, 0.99]
    table = search_tables.history(
        made_up(outcome=outcomes, **{"best/val_accuracy": best, "val/accuracy": last}).sample(
            frac=1, random_state=1
        )
    )
    assert table["number"].tolist() == [0, 1, 2, 3, 5, 6]  # the failed one has no score
    known = table["best_so_far"].dropna()
    assert known.is_monotonic_increasing
    assert known.tolist() == pytest.approx([70, 70, 70, 80, 80])
    assert np.isnan(table["best_so_far"].iloc[0])


@pytest.mark.parametrize("seed", range(5))
def test_no_two_runs_of_a_lane_overlap_and_there_are_as_many_lanes_as_ran_at_once(seed):
    draw = np.random.default_rng(seed)
    start = draw.integers(0, 500, 60)
    end = start + draw.integers(1, 90, 60)
    origin = pd.Timestamp("2026-11-25", tz="UTC")
    times = {"started": origin + pd.to_timedelta(start, "s"), "ended": origin + pd.to_timedelta(end, "s")}
    laid = search_tables.timeline(made_up(**times))
    assert sorted(laid["key"]) == sorted(made_up(**times)["key"])
    for _, lane in laid.groupby("lane"):
        assert (lane["start"].to_numpy()[1:] >= lane["end"].to_numpy()[:-1]).all()
    at_once = max(((start <= moment) & (end > moment)).sum() for moment in start)
    assert laid["lane"].nunique() == at_once
    assert laid["start"].min() == 0


def test_places_on_an_axis_keep_the_order_and_its_ends():
    values = pd.Series([0.01, 0.0001, 0.001])
    assert search_tables.position(values, log=True)[0].tolist() == pytest.approx([1, 0, 0.5])
    plain, ends = search_tables.position(values)
    assert plain.rank().tolist() == values.rank().tolist()
    assert ends == [(0.0, "0.0001"), (1.0, "0.01")]
    names, ticks = search_tables.position(pd.Series(["mean", "last", "mean", None], dtype="str"))
    assert names.tolist()[:3] == [1, 0, 1]
    assert np.isnan(names.iloc[3])
    assert ticks == [(0.0, "last"), (1.0, "mean")]


def test_curves_zoom_on_the_later_halves_and_count_what_leaves_the_panel():
    first = pd.DataFrame(
        {"key": "a", "evaluation": range(1, 9), "val/accuracy": [10, 50, 80, 85, 86, 87, 88, 89.0]}
    )
    second = first.assign(key="b", **{"val/accuracy": [70, 75, 85, 86, 86, 87, 87, 88.0]})
    pruned = first.head(2).assign(key="c", **{"val/accuracy": [5.0, 6.0]})
    curves = pd.concat([first, second, pruned], ignore_index=True)
    low, high = edges = search_tables.zoom(curves, "val/accuracy", pd.Series(["a", "b"]))
    assert 85 < low < 86
    assert 89 < high < 90
    assert search_tables.outside(curves, "val/accuracy", edges) == 3
    assert search_tables.outside(curves, "val/accuracy", (0, 100)) == 0
    alone = search_tables.zoom(first, "val/accuracy", pd.Series(["a"]))
    assert search_tables.outside(first, "val/accuracy", alone) == 0  # one curve is shown whole


def test_every_run_with_a_score_is_in_every_figure_and_every_run_in_the_table(page, runs):
    drawn = panels(page)
    assert len(drawn) == 2 + 4 + 6 + 1 + 2
    scored = set(search_tables.scored(runs)["key"])
    assert {"complete", "pruned", "failed"} <= set(runs["outcome"])
    for name, svg in drawn.items():
        assert keys(svg) >= scored, name
    [board] = [section for section in page.parts[0].sections if section.title == "Leaderboard"]
    [table] = [block for block in board.blocks if isinstance(block, Table)]
    assert sorted(table.keys) == sorted(runs["key"])
    assert len(table.rows) == len(runs)


def test_every_mark_says_its_run_and_its_value(page, runs):
    names = runs.set_index("key")["name"]
    for svg in panels(page).values():
        marks = re.findall(r'<g class="run[^"]*" data-run="([^"]*)"><title>([^<]*)</title>', svg)
        assert len(marks) == svg.count("data-run=")
        for key, text in marks:
            assert text.startswith((names[key], "The weights that were kept"))
        assert re.search(r"\d\.\d", marks[0][1])


def test_a_slice_has_a_point_for_each_run_with_a_score(page, runs):
    drawn = panels(page)
    scored = search_tables.scored(runs)
    for name in ("By train.lr, logarithmic", "By model.word_dropout", "Validation accuracy by model.pooling"):
        complete = re.findall(r'class="run dot', drawn[name])
        others = re.findall(r'class="run ring', drawn[name])
        assert len(complete) == (scored["outcome"] == "complete").sum()
        assert len(others) == (scored["outcome"] != "complete").sum()


def test_the_scales_of_a_search_are_those_that_optuna_drew_from(stores):
    study = optuna.load_study(study_name="imdb", storage=stores.storage)
    drawn = study.trials[0].distributions
    own = read_study_run(frames.runs(stores, "imdb"))
    assert own.drawn == {name: getattr(each, "log", False) for name, each in drawn.items()}


def test_fewer_than_five_points_make_no_plot(fill):
    stores = fill(study_of(FEWEST_POINTS - 1))
    made = build.page(stores, "imdb", frames.runs(stores, "imdb"))
    assert set(panels(made)) == {
        "Training accuracy, %", "Validation accuracy, %", "Training loss", "Validation loss",
    }  # fmt: skip
    said = [sentence for section in made.parts[0].sections for sentence in section.sentences]
    assert sum("too few for a plot" in sentence for sentence in said) == 2


def test_a_mark_is_cut_off_where_it_leaves_its_axes_and_escaped():
    evil = '"><script>alert(1)</script>&'
    line = Mark(evil, said(evil, "loss", [3.0, float("nan"), 0.5]), [0, 1, 2], [3.0, float("nan"), 0.5])

    def draw(axes: Any) -> None:
        axes.set_xlim(0, 2)
        axes.set_ylim(0, 1)

    svg = panel(draw, "loss", marks=[line], clip=True)
    assert "<script" not in svg
    assert svg.count("<svg") == 2  # the inner one cuts off
    assert "nan" not in svg.lower().replace("&#34;", "")
    assert markdown.standalone(str(svg)).count('xmlns="http://www.w3.org/2000/svg"') == 1


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_stand_out_from_the_paper(scheme):
    """Text by 4.5 to 1, marks by 3 to 1: what WCAG 2.2 asks for."""
    blocks = re.findall(r":root \{(.*?)\}", (render.TEMPLATES / "style.css").read_text("utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w+);", blocks[scheme]))
    whole = {name: "#" + "".join(2 * c for c in v[1:]) if len(v) == 4 else v for name, v in colours.items()}
    for name, least in (("ink", 7), ("muted", 4.5), ("accent", 4.5), ("other", 4.5), ("line", 3)):
        for paper in ("paper", "faint") if name != "line" else ("paper",):
            light, dark = sorted((luminance(whole[name]), luminance(whole[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (name, paper)


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_a_click_on_a_row_lights_up_its_run_and_without_a_script_all_is_there(page, tmp_path):
    file: Path = tmp_path / "index.html"
    file.write_text(render.study_page(page))
    count = len(panels(page))
    with chromium() as browser:
        with opened(browser, file, width=1300) as tab:
            row = tab.locator("tr[data-run]").nth(1)
            row.click()
            key = row.get_attribute("data-run")
            assert tab.evaluate(LIT) == [key] * count
            assert tab.locator("tr.lit").count() == 1
            other = tab.locator("tr[data-run]").nth(3)
            other.press("Enter")
            assert set(tab.evaluate("[...document.querySelectorAll('.lit')].map(e => e.dataset.run)")) == {
                other.get_attribute("data-run")
            }
            tab.keyboard.press("Escape")
            assert tab.locator(".lit").count() == 0
            key = tab.locator("svg.panel g.dot").first.get_attribute("data-run")
            mark = tab.locator(f'svg.panel g.dot[data-run="{key}"]').first
            mark.dispatch_event("click")
            assert tab.locator(".told").inner_text() == mark.locator("title").text_content()
        with opened(browser, file, java_script_enabled=False) as tab:
            assert tab.locator("tr[data-run]").count() == 14
            assert tab.locator("svg.panel").count() == count
            assert tab.locator("svg title").count() > count


def test_a_page_is_small(page):
    """A page of 24 trials stays below 1.5 MB, and so one of 14 below its part of that."""
    assert len(render.study_page(page).encode()) < 1_500_000 * 14 / 24
