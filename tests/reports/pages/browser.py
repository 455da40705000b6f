"""A headless Chromium for tests that look at a page as a reader does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser, which takes a second: tests of one file share it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@contextmanager
def opened(browser: Any, page: Path, width: int = 390, **options: Any) -> Iterator[Any]:
    """Open a page; a request, a message, an error or a dialog of its fails the test that opened it.

    Args:
        browser: as ``chromium`` gives it.
        page: file to open.
        width: of the window in CSS pixels; 390 is a phone's.
        options: of the browser's context, such as ``java_script_enabled`` or ``color_scheme``.
    """
    asked: list[str] = []
    said: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 800}, **options)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.goto(page.as_uri())
    yield tab
    tab.close()
    assert asked == [page.as_uri()]
    assert said == []
