"""On a phone no page is wider than the screen, no text is too small to read, and nothing is cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.write import write_pages
from tests.reports.pages.browser import CHROMIUM, chromium, opened
from tests.reports.pages.test_splits_page import splits_of
from tests.reports.recorded_lists import (
    encode,
    factors_of,
    finalists_of,
    fraction_of,
    labels_of,
    predict,
    variance_of,
)
from tests.reports.recorded_runs import MadeUp, study_of

PAGES = ("index.html", "imdb", "factors", "finalists", "splits", "six", "labels", "variance", "one")
SMALLEST = 11  # CSS pixels
MEASURE = """() => {
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 0;
  const said = (element) => `${element.tagName}: ${element.textContent.trim().slice(0, 60)}`;
  const wide = [], small = [], cut = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!seen(element)) continue;
    const box = element.getBoundingClientRect(), svg = element.closest("svg");
    if (!svg || element === svg) {
      if (box.right > innerWidth + 0.5 || box.left < -0.5) wide.push(said(element));
      if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) wide.push(said(element));
      if (getComputedStyle(element).textOverflow === "ellipsis") cut.push(said(element));
    } else if (element.tagName === "text") {
      const frame = svg.getBoundingClientRect();
      const outside = Math.max(box.right - frame.right, frame.left - box.left, box.bottom - frame.bottom);
      if (outside > 1) cut.push(`${said(element)} by ${outside}`);
    }
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!texts.length || element.closest("title")) continue;
    const matrix = svg && element.getScreenCTM(), scale = svg ? Math.hypot(matrix.a, matrix.b) : 1;
    small.push([parseFloat(getComputedStyle(element).fontSize) * scale, said(element)]);
  }
  return { wide, cut, small: small.sort((a, b) => a[0] - b[0])[0], width: document.documentElement.scrollWidth };
}"""


@pytest.fixture(scope="module")
def report(fill, tmp_path_factory) -> Path:
    """Write a page of every sort, some with names longer than a screen."""
    (factors, plan), (finalists, notes), (splits, parts) = factors_of(8), finalists_of(), splits_of(8)
    name, note = "a-name-without-any-space" * 4, {"model.note": "y" * 90}
    long = MadeUp(24, name=name, tags={"device": "x" * 90}, params=note)
    failed = MadeUp(25, "failed", tags={"seqclf.reason": "DataError: " + "z" * 120})
    alone = MadeUp(26, study="one", role="experiment")
    others = [fraction_of(2), labels_of(2), variance_of(5)]
    runs = [*study_of(14), long, failed, *factors, *finalists, *splits, alone]
    runs += [run for made, _ in others for run in made]
    more = {name: tags for _, told in others for name, tags in told.items()}
    stores = fill(runs, notes={**plan, **notes, **parts, **more})
    predict(stores, [*factors, *finalists], 400)
    encode(stores.cache, factors[0].digest, 400)
    out = tmp_path_factory.mktemp("phone")
    write_pages(stores, out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("needs Chromium")
    with chromium() as started:
        yield started


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone(browser, report, page):
    with opened(browser, report / page if page.endswith("html") else report / page / "index.html") as tab:
        found = tab.evaluate(MEASURE)
    assert found["wide"] == []
    assert found["cut"] == []
    assert found["width"] == 390
    assert found["small"][0] >= SMALLEST, found["small"]


@pytest.mark.parametrize("page", ["imdb", "factors", "index.html"])
def test_no_table_scrolls_sideways_on_a_screen(browser, report, page):
    file = report / page if page.endswith("html") else report / page / "index.html"
    with opened(browser, file, width=1300) as tab:
        sizes = tab.evaluate("[...document.querySelectorAll('.scroll')].map(e => [e.scrollWidth, e.clientWidth])")
        width = tab.evaluate("document.documentElement.scrollWidth")
    assert sizes
    assert all(inside <= outside + 1 for inside, outside in sizes)
    assert width <= 1300
