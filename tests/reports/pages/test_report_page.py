"""The page says what was recorded, keeps apart what may not be compared, and lets nothing in that is not text."""

import base64
import hashlib
import re
import shlex
import shutil

import pandas as pd
import pytest
import tyro

from reports import frames
from reports.html import render
from reports.html.document import Commands, Pairs
from reports.pages import background, build, tables
from seqclf_core.config import RunConfig
from tests.reports.pages.page_elements import Elements
from tests.reports.recorded_runs import MadeUp, study_of

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)></style></text></svg>$\\frac{"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def searched(fill) -> frames.Stores:
    evil = MadeUp(
        24, name=EVIL, changes={}, tags={"device": EVIL, "seqclf.note": EVIL}, params={"model.note": EVIL}
    )
    evil.params |= {"model.pooling": EVIL, "model.loss": "<b>", "data.source": EVIL}
    failed = MadeUp(25, "failed", name="<i>", tags={"seqclf.reason": EVIL, "used.source": EVIL})
    return fill([*study_of(14), evil, failed])


@pytest.fixture(scope="module")
def page(searched) -> str:
    return render.study_page(build.page(searched, "imdb", frames.runs(searched, "imdb")))


def test_names_that_hold_markup_are_only_text(page):
    elements = Elements(page)
    scripts = elements.named("script")
    assert len(scripts) == 1
    assert not elements.named("img")
    assert not elements.named("b")
    assert not elements.named("i")
    attributes = {name for _, found in elements.found for name in found}
    assert not {name for name in attributes if name.startswith("on")}
    assert any(EVIL in text for text in elements.text)  # in a table, as it was written
    drawn = [text for text in elements.text if text.startswith(EVIL[:12]) and text.endswith("…")]
    assert drawn  # and in a figure, cut to its length


def test_no_script_but_ours_may_run(page):
    elements = Elements(page)
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta["content"] for meta in elements.named("meta") if "http-equiv" in meta)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_the_page_asks_for_nothing(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_same_records_give_the_same_page(searched, page):
    again = render.study_page(build.page(searched, "imdb", frames.runs(searched, "imdb")))
    same = re.compile(r"Written .*? from")
    assert same.sub("", again) == same.sub("", page)


def test_leaderboard_goes_by_validation_and_never_by_test(searched):
    runs = frames.runs(searched, "imdb")
    ranked = tables.leaderboard(runs[runs["role"] == "trial"])
    assert set(ranked["outcome"]) == {"complete"}
    assert ranked["best/val_accuracy"].is_monotonic_decreasing
    assert not ranked["test/accuracy"].is_monotonic_decreasing
    shuffled = runs.assign(**{"test/accuracy": runs["test/accuracy"].sample(frac=1, random_state=0).to_numpy()})
    assert list(tables.leaderboard(shuffled)["key"]) == list(ranked["key"])


def test_test_accuracy_cannot_be_sorted(page):
    heads = re.findall(r"<th [^>]*>.*?</th>", page, re.S)
    test = [head for head in heads if "Test" in head]
    assert test
    assert not any("<button" in head for head in test)
    assert any("<button" in head for head in heads)


def test_a_pruned_runs_value_enters_no_score():
    runs = pd.DataFrame(
        {
            "outcome": ["complete", "complete", "pruned", "failed"],
            "model.pooling": ["last", "mean", "last", "mean"],
            "best/val_accuracy": [0.8, 0.9, float("nan"), float("nan")],
            "val/accuracy": [0.7, 0.8, 0.99, 0.5],
        }
    )
    seen = tables.by_level(runs, "model.pooling").set_index("value")
    assert seen.loc["last", ["complete", "median", "best", "pruned"]].tolist() == [1, 0.8, 0.8, 1]
    assert seen.loc["mean", ["complete", "median", "best", "pruned"]].tolist() == [1, 0.9, 0.9, 0]


def test_other_data_is_another_leaderboard(fill):
    stores = fill(
        [
            *[MadeUp(i, study="mixed", role="experiment") for i in range(2)],
            *[MadeUp(i, study="mixed", role="experiment", data_scope="limited") for i in range(2, 4)],
            *[MadeUp(i, study="mixed", role="experiment", digest="a0" * 32) for i in range(4, 6)],
        ]
    )
    made = build.page(stores, "mixed", frames.runs(stores, "mixed"))
    assert len(made.parts) == 3
    assert len({part.title for part in made.parts}) == 3
    boards = [
        section.blocks[0] for part in made.parts for section in part.sections if section.title == "Leaderboard"
    ]
    assert [{row[0].text[:4] for row in board.rows} for board in boards] == [
        {"0000", "0001"},
        {"0002", "0003"},
        {"0004", "0005"},
    ]


def test_a_study_under_way_says_so(fill):
    stores = fill([*study_of(3), MadeUp(3, "running")], finished=False)
    runs = frames.runs(stores)
    made = build.page(stores, "imdb", runs)
    assert "1 run is not finished" in made.interim
    # Which settings mattered cannot be told from trials that a search chose and pruned.
    assert not any("importance" in section.title.lower() for section in made.parts[0].sections)


def test_a_study_without_a_complete_run_has_a_page(fill):
    stores = fill([MadeUp(0, "failed", evaluations=1), MadeUp(1, "running", evaluations=1)], finished=False)
    made = build.page(stores, "imdb", frames.runs(stores))
    assert "No run is complete yet" in " ".join(made.parts[0].summary)
    assert "Leaderboard" not in [section.title for section in made.parts[0].sections]


def test_the_command_of_a_run_gives_its_settings_again(searched):
    runs = frames.runs(searched, "imdb").set_index("key")
    changes = MadeUp(5).changes | {
        "model.bidirectional": True,
        "data.limit": 2000,
        "data.source": "my reviews.csv",
    }
    row = pd.concat([runs.loc["imdb/0005"].drop(list(changes)), pd.Series(changes)])
    make, *words_ = shlex.split(background.run_command(row))
    assert make == "make"
    variables = dict(word.split("=", 1) for word in words_[1:])
    config = tyro.cli(RunConfig, args=shlex.split(variables["ARGS"]))
    assert config.override({"data.source": variables["DATA"]}) == RunConfig().override(changes)


def test_a_setting_that_is_younger_than_the_run_is_left_out_of_its_command(searched):
    row = frames.runs(searched, "imdb").set_index("key").loc["imdb/0005"]
    for older in (row.drop("train.ema_decay"), row.replace({"train.ema_decay": float("nan")})):
        assert "average" not in background.run_command(older)
    unknown = pd.concat([row.drop("train.ema_decay"), pd.Series({"train.ema_decay": None})])
    assert background.run_command(unknown) == background.run_command(row)


def test_a_baseline_without_a_network_is_repeated_by_what_was_typed(searched, fill):
    runs = frames.runs(searched, "imdb")
    typed = "python -m experiments majority"
    linear = runs[runs["key"] == "imdb/0005"].assign(
        **{"model.pooling": pd.NA, "model.lstm": 1, "train.lr": pd.NA, "role": "experiment", "command": typed}
    )
    made = build.page(searched, "imdb", linear)
    [repeat] = [section for section in made.parts[0].sections if section.title == "Repeat it"]
    lines = [line for block in repeat.blocks if isinstance(block, Commands) for line in block.lines]
    assert typed in lines
    assert not any("None" in line for line in lines)
    [shared] = [
        block for block in repeat.blocks if isinstance(block, Pairs) and block.title.startswith("Settings")
    ]
    names = [name for name, _ in shared.pairs]
    assert "train.lr" not in names
    assert "data.limit" in names  # none is its value


def test_one_evaluation_is_no_curve(fill):
    stores = fill([MadeUp(0, study="majority", role="experiment", evaluations=1)])
    made = build.page(stores, "majority", frames.runs(stores))
    assert "Learning curves" not in [section.title for section in made.parts[0].sections]


def test_work_is_counted_over_all_runs(searched):
    runs = frames.runs(searched, "imdb").query("role == 'trial'")
    curves = frames.curves(searched, "imdb")
    spent = tables.spent(runs, curves).set_index("outcome")
    parts = spent.drop(index="all")
    for column in ("runs", "seconds", "reviews", "tokens"):
        assert parts[column].sum() == pytest.approx(spent.loc["all", column])
    assert spent.loc["all", "reviews"] == curves.groupby("key")["step"].max().sum()


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser_it_is_quiet_fits_and_sorts(page, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "index.html").write_text(page)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        requests, said, dialogs = [], [], []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        tab.goto((tmp_path / "index.html").as_uri())
        assert len(requests) == 1
        assert tab.evaluate("document.documentElement.scrollWidth") == 390

        table = tab.locator("table").first
        column = table.locator("th", has_text="Validation loss").evaluate("head => head.cellIndex")

        def losses() -> list[float]:
            cells = table.locator(f"tbody td:nth-child({column + 1})")
            found = [cell.get_attribute("data-order") for cell in cells.all()]
            known = [float(order) for order in found if order]
            assert found[len(known) :] == [""] * (len(found) - len(known))  # runs without a score stay last
            return known

        button = table.locator("th button", has_text="Validation loss")
        button.click()
        assert losses() == sorted(losses(), reverse=True)
        button.click()
        assert losses() == sorted(losses())
        browser.close()
    assert said == []
    assert dialogs == []
