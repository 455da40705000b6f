"""make report writes whole files in the right places, quickly says what is wrong, and loads only what it needs."""

import doctest
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest

from experiments.tracking import paths
from experiments.tracking.paths import sqlite_path
from reports import frames
from reports.html import formatting, render
from reports.pages import tables
from reports.write import write, write_pages
from seqclf_core.errors import UserError
from tests.reports.recorded_runs import MadeUp, study_of

ROOT = Path(__file__).parents[2]


def test_pages_and_tables_are_written_for_every_study(fill, tmp_path):
    stores = fill([*study_of(2), MadeUp(0, study="../<b>", role="experiment")])
    index, *pages = (page.path for page in write_pages(stores, tmp_path / "report"))
    assert index == tmp_path / "report" / "index.html"
    assert {path.parent.parent for path in pages} == {tmp_path / "report"}
    links = set(re.findall(r'<a href="([^"]*)"', index.read_text()))
    assert {(index.parent / link).resolve() for link in links} == {path.resolve() for path in pages}
    table = pd.read_csv(tmp_path / "report" / "imdb" / "runs.csv")
    assert len(table) == 3
    [only] = write_pages(stores, tmp_path / "one", "imdb")
    assert only.path == tmp_path / "one" / "imdb" / "index.html"
    assert not (tmp_path / "one" / "index.html").exists()
    assert write_pages(stores, tmp_path / "none", "no such study") == []


@pytest.mark.parametrize("left", ["nothing", "changes"])
def test_a_folder_that_cannot_be_written_to_is_read(fill, tmp_path, monkeypatch, left):
    """As another user's folder or a read-only disk; with changes that a power cut left beside the database."""
    stores = fill(study_of(2))
    [page] = write_pages(stores, tmp_path / "there")
    runs, database = tmp_path / "runs", sqlite_path(stores.tracking)
    shutil.copytree(database.parent, runs)
    if left == "changes":
        with closing(sqlite3.connect(runs / "mlflow.db")) as written:
            written.execute("PRAGMA journal_mode = WAL")
            written.execute("UPDATE runs SET name = 'changed'")
            written.commit()
            shutil.copytree(runs, tmp_path / "cut")
        runs = tmp_path / "cut"
        (runs / "mlflow.db-shm").unlink()
    with read_only(runs) as place:
        again = frames.Stores.under(place)
        [page] = write_pages(again, tmp_path / "here")
        names = set(frames.runs(again)["name"])
        assert (names == {"changed"}) == (left == "changes")
        with pytest.raises(UserError, match="--out"):
            write(place)
    assert page.path.stat().st_size > 1000


@contextmanager
def read_only(folder):
    """Let nobody write to a folder for a while: permissions do not hold root back, a mount does."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    place = folder.with_name("mounted")
    place.mkdir()
    if subprocess.run(["mount", "--bind", folder, place], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path):
    render.replace(tmp_path / "page", "before")
    with pytest.raises(AttributeError):
        render.replace(tmp_path / "page", 7)  # fails while writing
    assert (tmp_path / "page").read_text() == "before"
    render.replace(tmp_path / "page", "a lone surrogate \ud800")
    assert list(tmp_path.iterdir()) == [tmp_path / "page"]


def test_the_command_answers_without_loading_what_it_does_not_need(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    asked = run("-X", "importtime", "-m", "studies.commands", "report", "--help")
    assert "--study" in asked.stdout
    assert not re.search(r"\b(pandas|matplotlib|optuna|mlflow|torch)\b", asked.stderr)
    imported = run("-c", "import reports.html.render, sys; print('torch' in sys.modules, 'mlflow' in sys.modules)")
    assert imported.stdout.split() == ["False", "False"]
    nothing = run("-m", "studies.commands", "report", "--runs", str(tmp_path))
    assert nothing.returncode == 2
    assert "make study" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_examples_in_docstrings_hold():
    for module in (formatting, tables, paths):
        assert doctest.testmod(module).failed == 0
