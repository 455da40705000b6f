"""Links the model of a run to the run in MLflow: the run's page names it, and the model has a page of its own.

MLflow calls it a logged model. It is an entry without files: the weights stay where the run left them, under RUNS,
and the entry says where that is and what their SHA-256 is. ``seqclf champion`` puts the files of the one that
answers into MLflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import LoggedModelOutput, Run
from mlflow.tracking import MlflowClient

from experiments.tracking import journal, names
from experiments.tracking.digests import digest_of, digests
from experiments.tracking.journal import Header, Opened, opened
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan

MODEL_TYPE = "text classifier"


def finalists_models(paths: RunPaths, study: Header) -> Iterator[tuple[Opened, Path]]:
    """Yield the finalists whose weights are there, with the folder of their model; none for other studies.

    When a study of finalists ends, these are the best seed of each settings.

    Args:
        paths: the folder with all that is recorded.
        study: header of a study's own run.
    """
    plan = StudyPlan.from_tags(study.tags)
    if plan is None or plan.study_type != "finalists":
        return
    for path in paths.journals_of(study.experiment):
        model = paths.work(paths.key_of(path)) / "model"
        if model.is_dir() and (entries := journal.read(path)):
            first = opened(entries)
            if names.FINALIST in first.header.tags:
                yield first, model


def link_model(client: MlflowClient, run: Run, model: Path, paths: RunPaths) -> str:
    """Give a run in MLflow its model, unless it has the same already; a second call changes nothing.

    Args:
        client: MLflow.
        run: the run that trained it.
        model: folder of the model.
        paths: RUNS; MLflow is told where below it the model is, which holds wherever RUNS is moved to.

    Returns:
        MLflow's id of the model.
    """
    digest = digest_of(digests(model))
    run_id, experiment = run.info.run_id, run.info.experiment_id
    made = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    same = [each for each in made if each.tags.get(names.MODEL_DIGEST) == digest]
    if same:
        logged = same[0]
    else:
        key = run.data.tags[names.KEY]
        tags = {names.KEY: key, names.MODEL_DIGEST: digest, names.DESCRIPTION: _about(run, model, paths)}
        name = re.sub(r"[^\w-]", "-", key)  # MLflow takes no slash
        logged = client.create_logged_model(experiment, name, run_id, tags, model_type=MODEL_TYPE)
    if logged.status != "READY":
        client.finalize_logged_model(logged.model_id, "READY")
    linked = run.outputs.model_outputs if run.outputs else []
    if logged.model_id not in [each.model_id for each in linked]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def _about(run: Run, model: Path, paths: RunPaths) -> str:
    scores = {name: run.data.metrics.get(name) for name in (names.BEST_VAL_ACCURACY, names.TEST_ACCURACY)}
    told = ", ".join(f"{name} {score:.4f}" for name, score in scores.items() if score is not None)
    text = f"Trained by the run `{run.data.tags[names.KEY]}` ({told})."
    if model.is_relative_to(paths.runs):
        text += f" Its files are in `{model.relative_to(paths.runs)}` below RUNS, the folder of its study."
    return text
