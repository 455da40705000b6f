"""What MLflow shows of a study as a whole: named views, the best scores on the study's own run, a description.

All of it can be written again at any time, and nothing that a person changed or removed in MLflow is touched.
"""

from __future__ import annotations

import json
from pathlib import Path

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from experiments.serving.selection import ranking
from experiments.tracking import names
from experiments.tracking.journal import Opened
from experiments.tracking.views import SCORES, digest, of_one, views

DESCRIPTION_LENGTH = 4000
TIES = 50
"""So many of the best runs are looked at to break ties of the best score."""


def write_views(client: MlflowClient, experiment: str, first: Opened, shared: bool = False) -> None:
    """Put the named views of a study or experiment where they are not yet.

    Args:
        client: MLflow.
        experiment: its id.
        first: of the journal of the study's own run, or of an experiment's.
        shared: whether other people's studies of this name are in the experiment; this one then has its own, too.
    """
    there = client.get_experiment(experiment).tags
    written = json.loads(there.get(names.VIEWS_WRITTEN, "{}"))
    now = dict(written)
    found_here = views(first.header)
    for view in found_here + ([of_one(view, first.header) for view in found_here] if shared else []):
        value, found = view.value(first.time), there.get(view.tag)
        removed = found is None and view.key in written
        changed = found is not None and found != value and digest(found) != written.get(view.key)
        if removed or changed:
            continue
        now[view.key] = digest(value)
        if found != value:
            client.set_experiment_tag(experiment, view.tag, value)
    if now != written:
        client.set_experiment_tag(experiment, names.VIEWS_WRITTEN, json.dumps(now))
    question = first.header.tags.get(names.QUESTION)
    if question and names.DESCRIPTION not in there:
        client.set_experiment_tag(experiment, names.DESCRIPTION, question)


def write_best(client: MlflowClient, experiment: str, parent: str) -> None:
    """Give a study's own run the scores of its best run by validation, so far, unless it has them."""
    found = client.search_runs(
        [experiment],
        f"tags.`{names.PARENT}` = '{parent}' AND tags.`{names.OUTCOME}` = 'complete'",
        order_by=[f"metrics.`{names.BEST_VAL_ACCURACY}` DESC"],
        max_results=TIES,
    )
    scored = [run for run in found if names.BEST_VAL_ACCURACY in run.data.metrics]
    if not scored:
        return
    rank = ranking(
        [
            (
                run.data.metrics[names.BEST_VAL_ACCURACY],
                run.data.metrics.get(names.BEST_VAL_LOSS),
                run.data.tags[names.KEY],
            )
            for run in scored
        ]
    )
    best, known = scored[rank[0]], client.get_run(parent).data.metrics
    new = {name: value for name in SCORES if (value := best.data.metrics.get(name)) != known.get(name)}
    time = max(run.info.end_time or 0 for run in scored)
    metrics = [Metric(name, value, time, len(scored)) for name, value in new.items() if value is not None]
    if metrics:
        client.log_batch(parent, metrics)


def described(question: str, page: Path) -> str:
    """Return what is said of a study: its question and, once its report is there, what came out.

    Args:
        question: what the study asks.
        page: its report; the same in Markdown lies beside it.
    """
    report = page.with_name("report.md")
    if not report.is_file():
        return question
    text = report.read_text(encoding="utf-8")
    _, _, said = text.partition("\n")  # behind the title
    return said.partition("\n## ")[0].strip()[:DESCRIPTION_LENGTH] or question
