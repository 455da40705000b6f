"""Several studies are compared where they had the same data, by validation, and each by what it can claim."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.tracking.paths import folder_name
from reports import frames
from reports.html import render
from reports.html.document import Page, StudySummary, Table
from reports.pages import build, comparison
from reports.write import write_pages
from tests.reports.recorded_lists import factors_of, finalists_of, predict
from tests.reports.recorded_runs import MadeUp, study_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert(1)</script>"


def repeated(study: str, seeds: int, first: int = 300, **about: str) -> list[MadeUp]:
    """The same settings of an experiment on several seeds."""
    settings = MadeUp(first).changes
    return [
        MadeUp(
            first + seed, study=study, role="experiment", name=f"last bce e64 h64 seed {seed}",
            changes={**settings, "seed": seed}, **about,
        )
        for seed in range(seeds)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    (blocks, plan), (runs, notes) = factors_of(6), finalists_of()
    learned_all = MadeUp(400, study="baseline", role="experiment", name="training and validation part")
    learned_all.val = np.full(learned_all.evaluations, np.nan)
    stores = fill(
        [
            *study_of(14), *blocks, *runs, *repeated("baseline", 4), learned_all,
            *repeated("small", 2, data_scope="limited", digest="11" * 32),
            *repeated("alone", 1, data_scope="synthetic", digest="22" * 32),
            *repeated("mine", 2, digest="33" * 32), *repeated(EVIL, 1, first=500),
        ],
        notes={**plan, **notes},
    )  # fmt: skip
    predict(stores, runs, 400)
    return stores


@pytest.fixture(scope="module")
def runs(stores) -> pd.DataFrame:
    return frames.runs(stores)


@pytest.fixture(scope="module")
def pages(stores, runs) -> list[Page]:
    return [build.page(stores, str(name), of_study) for name, of_study in runs.groupby("study", sort=False)]


@pytest.fixture(scope="module")
def page(pages, runs) -> Page:
    return comparison.page(pages, runs, link=lambda name: f"{folder_name(name)}/index.html")


def standings(pages: list[Page]) -> list[StudySummary]:
    return [part.standing for page in pages for part in page.parts if part.standing]


@pytest.fixture(scope="module")
def rows(pages) -> pd.DataFrame:
    return comparison.rows(standings(pages))


def test_only_studies_on_the_same_data_stand_together(pages, page, runs):
    groups = comparison.comparable(standings(pages))
    assert [{each.study for each in group} for group in groups] == [
        {"imdb", "factors", "finalists", "baseline", EVIL}, {"mine"}, {"small"}, {"alone"},
    ]  # fmt: skip
    for group in groups:
        names = [each.study for each in group]
        data = runs[runs["study"].isin(names) & (runs["role"] != "study")]
        assert len(data[["data_scope", "digest"]].drop_duplicates()) == 1
    for part, group in zip(page.parts, groups, strict=False):
        [table] = [b for b in part.sections[0].blocks if isinstance(b, Table)]
        assert {row[0].text for row in table.rows} == {each.study for each in group}


def test_the_order_is_that_of_validation_whatever_the_test_scores_are(pages, rows):
    for _, group in rows.groupby("digest"):
        assert group["val"].dropna().is_monotonic_decreasing
        assert group["val"].isna().is_monotonic_increasing  # those without stand last
    assert not rows["test"].dropna().is_monotonic_decreasing
    other = [
        replace(each, scores=[replace(score, test=100 - score.test) for score in each.scores])
        for each in standings(pages)
    ]
    assert list(comparison.rows(other)["scored"]) == list(rows["scored"])
    assert [[s.study for s in group] for group in comparison.comparable(other)] == [
        [s.study for s in group] for group in comparison.comparable(standings(pages))
    ]


def test_a_search_stands_by_its_best_run_and_that_is_called_optimistic(rows, runs, page):
    [best] = rows[rows["study"] == "imdb"].to_dict("records")
    complete = runs[(runs["study"] == "imdb") & runs["best/val_accuracy"].notna()]
    assert best["val"] == pytest.approx(100 * complete["best/val_accuracy"].max())
    assert best["optimistic"]
    assert best["basis"] == f"best of {len(complete)} complete runs by validation, one seed"
    assert pd.isna(best["val_low"])
    assert "is optimistic" in " ".join(page.parts[0].answer.sentences)
    assert rows.loc[rows["optimistic"], "study"].tolist() == ["imdb"]


def test_finalists_stand_by_the_means_that_their_page_shows(rows, pages):
    [answer] = [part.answer for page in pages if page.title == "finalists" for part in page.parts]
    shown, together = answer.files["finalists.csv"].iloc[0], answer.files["ensembles.csv"].iloc[0]
    found = rows[rows["study"] == "finalists"].set_index("seeds")
    limits = ["val", "val_low", "val_high", "test"]
    assert list(found.loc[5, limits]) == list(shown[limits])
    assert list(found.loc[5, ["test_low", "test_high"]]) == list(shown[["low", "high"]])
    assert list(found.loc[1, ["val", "test"]]) == list(together[["val", "test"]])  # the best ensemble


def test_a_factors_study_stands_by_its_verdicts_and_the_range_of_its_runs(rows, runs, pages, page):
    [row] = rows[rows["study"] == "factors"].to_dict("records")
    seen = 100 * runs.loc[runs["study"] == "factors", "best/val_accuracy"].dropna()
    assert pd.isna(row["val"])
    assert pd.isna(row["test"])
    assert (row["lowest"], row["highest"]) == (pytest.approx(seen.min()), pytest.approx(seen.max()))
    [verdicts] = [part.answer.sentences for each in pages if each.title == "factors" for part in each.parts]
    told = [cell.text for section in page.parts[0].sections[1:] for row in section.blocks[0].rows for cell in row]
    assert set(verdicts) <= set(told)


def test_settings_of_an_experiment_are_averaged_over_seeds(rows, runs):
    found = rows[rows["study"] == "baseline"].set_index("scored")
    scores = runs[(runs["study"] == "baseline") & runs["best/val_accuracy"].notna()]
    mean = found.loc["last bce e64 h64"]
    assert (mean["seeds"], mean["basis"]) == (4, "mean over 4 seeds")
    for part, name in (("val", "best/val_accuracy"), ("test", "test/accuracy")):
        values = 100 * scores[name]
        low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
        assert list(mean[[part, f"{part}_low", f"{part}_high"]]) == pytest.approx([values.mean(), low, high])
    without = found.loc["training and validation part"]  # it has no score on reviews that it did not learn from
    assert pd.isna(without["val"])
    assert pd.notna(without["test"])


def test_other_settings_under_the_same_name_are_not_averaged(fill):
    one, other = repeated("baseline", 2)
    other.changes["train.lr"] = 1e-4
    stores = fill([one, other])
    made = build.page(stores, "baseline", frames.runs(stores))
    assert [score.seeds for score in made.parts[0].standing.scores] == [1, 1]


def test_a_setting_that_some_runs_have_and_others_have_not_keeps_them_apart(fill):
    two = [MadeUp(number, role="experiment", study="one", name="run seed 0") for number in (400, 401)]
    two[1].params["model.init_from"] = "runs/work/tagger"
    stores = fill(two)
    (part,) = build.page(stores, "one", frames.runs(stores, "one")).parts
    assert [score.seeds for score in part.standing.scores] == [1, 1]


def test_cost_is_that_of_the_whole_study(rows, runs):
    for study, of_study in rows.groupby("study"):
        children = runs[(runs["study"] == study) & (runs["role"] != "study")]
        assert of_study["seconds"].to_numpy() == pytest.approx(children["worked"].sum())
        assert (of_study["tokens"] > 0).all()


def test_test_accuracy_cannot_be_sorted_and_names_are_only_text(page):
    text = render.study_page(page)
    heads = re.findall(r"<th [^>]*>.*?</th>", text, re.S)
    assert any("Test" in head for head in heads)
    assert not any("<button" in head for head in heads if "Test" in head)
    assert EVIL not in text
    assert text.count("<script>") == 1
    links = set(re.findall(r'<a href="([^"]*)"', text))
    assert len(links) == 8
    assert all(re.fullmatch(r"[\w-]+/index\.html", link) for link in links)


def test_what_is_not_finished_is_named(fill):
    stores = fill([*study_of(4), MadeUp(7, "running", study="other", role="experiment")], finished=False)
    runs = frames.runs(stores)
    made = [build.page(stores, name, runs[runs["study"] == name]) for name in ("imdb", "other")]
    page = comparison.page(made, runs, link=str)
    assert page.interim.startswith("Not finished: imdb, other")
    assert render.study_page(page)


def test_studies_that_have_only_begun_are_listed(fill):
    begun = MadeUp(0, "running", digest="", evaluations=1)
    stores = fill([begun, replace(begun, study="other")], finished=False)
    runs = frames.runs(stores)
    made = [build.page(stores, name, runs[runs["study"] == name]) for name in ("imdb", "other")]
    page = comparison.page(made, runs, link=str)
    [part] = page.parts
    assert [row[0].text for row in part.sections[0].blocks[0].rows] == ["imdb", "other"]
    assert render.study_page(page)


def test_it_is_written_beside_the_pages(stores, tmp_path, rows):
    [first, *_] = write_pages(stores, tmp_path)
    assert first.path == tmp_path / "index.html"
    text = (tmp_path / "report.md").read_text()
    assert "On a part of the data" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
    figures = set(re.findall(r"\((figures/[^)]*\.svg)\)", text))
    assert figures == {f"figures/{file.name}" for file in (tmp_path / "figures").iterdir()}
    written = pd.read_csv(tmp_path / "comparison.csv")
    assert len(written) == len(rows)
    assert set(written["digest"]) == set(rows["digest"])


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser_it_is_quiet_and_fits_a_phone(page, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "index.html").write_text(render.study_page(page))
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        asked, said = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        tab.goto((tmp_path / "index.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        moments = tab.locator("table").last.locator("tbody td:nth-child(6)")
        tab.locator("th button", has_text="Last run").click()
        order = [cell.get_attribute("data-order") for cell in moments.all()]
        assert order == sorted(order)
        browser.close()
    assert len(asked) == 1
    assert said == []
