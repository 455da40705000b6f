"""How long a report takes on many runs: the ``report`` part of ``make bench``.

A few runs are recorded as a study records them, then copied in the database: recording thousands takes minutes.
"""

import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDED, EVALUATIONS = 20, 20
LIMITS = {1000: 10, 2000: 20, 10_000: 20}
"""Runs -> seconds in which their report should be there."""


def report() -> None:
    """Write the report of ever more runs, each in a process of its own, as ``make report`` does."""
    for runs, limit in LIMITS.items():
        with tempfile.TemporaryDirectory() as folder:
            record(Path(folder), runs)
            began = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "studies.commands",
                "report",
                "--runs",
                folder,
                "--out",
                f"{folder}/report",
            ]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - began
            print(
                f"report of {runs:,} runs x {EVALUATIONS} evaluations: {seconds:.1f} s (at most {limit} s)",
                flush=True,
            )


def record(folder: Path, count: int) -> None:
    """Record ``count`` runs in a folder, half of them in each of two studies, which the report compares."""
    sys.path.insert(0, str(ROOT / "tests" / "reports"))
    from tests.reports import recorded_runs as recorded

    made = [
        recorded.MadeUp(number, study=study, evaluations=EVALUATIONS)
        for study in ("imdb", "other")
        for number in range(RECORDED // 2)
    ]
    recorded.record(folder, made)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        children = "SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId' AND run_uuid NOT LIKE '%-%'"
        for copy in range(1, count // RECORDED):
            values = {
                "tags": f"CASE key WHEN 'seqclf.key' THEN value || '-{copy}' ELSE value END",
                "metrics": f"value * (1 - 0.00001 * {copy})",
                "latest_metrics": f"value * (1 - 0.00001 * {copy})",
            }
            for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
                changed = {"run_uuid": f"run_uuid || '-{copy}'", "value": values.get(table, "value")}
                _copy(database, table, changed, f"run_uuid IN ({children})")
    with closing(sqlite3.connect(folder / "optuna.db")) as database, database:
        for further in range(RECORDED, count, RECORDED):
            changed = {"trial_id": f"trial_id + {further}", "number": f"number + {further}"}
            changed |= dict.fromkeys(["param_id", "trial_value_id", "trial_intermediate_value_id"], "NULL")
            for table in ("trials", "trial_params", "trial_values", "trial_intermediate_values"):
                _copy(database, table, changed, f"trial_id <= {RECORDED}")


def _copy(database: sqlite3.Connection, table: str, changed: dict[str, str], where: str) -> None:
    """Copy rows with some columns changed; a number that only tells rows apart is left to the database."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    drawn = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    database.execute(f"INSERT INTO {table} SELECT {drawn} FROM {table} WHERE {where}")
