"""Registers the champion in MLflow's model registry: ``seqclf champion``.

Which model that is, ``experiments/serving/choosing.py`` says. MLflow gets a copy of the model folder with the code
to run it, under the run that trained it; another copy lies under RUNS (``experiments/serving/champion.py``).
Neither goes when a study frees the weights of its lesser runs.

A call that was killed at any moment is completed by the next one: what is registered is found by its digest.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from experiments.serving.champion import ARTIFACTS, Champion, keep_champion
from experiments.serving.choosing import Choice, choose, require_fit
from experiments.serving.ensemble import make_ensemble
from experiments.tracking import journal, names
from experiments.tracking.digests import digest_of, digests
from experiments.tracking.journal import Header, opened
from experiments.tracking.models import link_model
from experiments.tracking.paths import RunPaths
from experiments.tracking.servers import database_url
from experiments.tracking.sync import sync_once
from seqclf_core.errors import UserError
from seqclf_core.masking import mask

MODEL_NAME = "seqclf"
ALIAS = "champion"
CODE = Path(__file__).with_name("champion_model.py")
PACKAGES = (
    "mlflow", "numpy", "pydantic", "tyro", "filelock", "safetensors", "tokenizers", "torch"
)  # fmt: skip
"""Packages that the champion's code imports; the registry records the versions installed here."""
EXAMPLE = "A superb film, moving and witty to its last scene."


def make_champion(
    paths: RunPaths, name: str | None, tracking_uri: str | None, ensemble: Sequence[str] = ()
) -> str:
    """Choose a champion, register it and keep a copy of it.

    Args:
        paths: the folder with all that is recorded.
        name: of a study or experiment; None: finished finalists where there are some, else all on whole data.
        tracking_uri: address of MLflow; None: the one that belongs to RUNS.
        ensemble: keys of runs whose models are to answer together, instead of one that is chosen.

    Returns:
        What was done, in a sentence.

    Raises:
        UserError: if there is no model to choose, MLflow does not take it, or RUNS cannot be written to.
    """
    uri = database_url(paths.tracking_uri(tracking_uri))
    try:
        # One at a time: two of these at once would register twice.
        with tempfile.TemporaryDirectory() as folder:
            if ensemble:
                choice = _together(paths, ensemble, Path(folder) / "model")
                require_fit(choice, name)
            else:
                choice = choose(paths, name)
            with FileLock(paths.champion_lock):
                champion, new = register(paths, choice, uri)
                keep_champion(paths, choice.model.folder, champion)
    except OSError as error:
        raise UserError(
            f"The champion could not be kept in {paths.runs}: {error}. Make room there or allow writing, and run "
            "the same command again."
        ) from error
    what = "is now" if new else "is already"
    return f"{choice} {what} version {champion.version} of {MODEL_NAME!r}, alias {ALIAS!r}, in {mask(uri)}"


def _together(paths: RunPaths, keys: Sequence[str], folder: Path) -> Choice:
    model, members = make_ensemble(paths, keys, folder)
    return Choice(model, members=members)


def register(paths: RunPaths, choice: Choice, uri: str) -> tuple[Champion, bool]:
    """Make a model the champion in MLflow's registry, unless it is already.

    Returns:
        What there is to record of it, and whether its version is new.

    Raises:
        UserError: if MLflow does not have the run that trained it, or refuses.
    """
    model = choice.model
    unsent = sync_once(paths.runs, uri).unsent
    client = MlflowClient(uri, uri)
    files = digests(model.folder)
    digest = digest_of(files)
    try:
        run_id = _run_of(client, opened(journal.read(paths.journal(model.key))).header)
        if run_id is None:
            reason = next(
                iter(unsent.values()), "it was deleted there; `seqclf doctor` tells how to bring it back"
            )
            raise UserError(f"The run {model.key} is not in MLflow at {mask(uri)}: {mask(reason)}")
        number = _version_of(client, run_id, digest)
        new = number is None
        if number is None:
            with tempfile.TemporaryDirectory() as folder:
                save(model.folder, Path(folder) / ARTIFACTS)
                client.log_artifacts(run_id, str(Path(folder) / ARTIFACTS), ARTIFACTS)
            about = {names.KEY: model.key, names.MODEL_DIGEST: digest}
            about[names.BEST_VAL_ACCURACY] = str(model.val_accuracy)
            if choice.finalist:
                about[names.FINALIST] = choice.finalist.settings
                about["mean/val_accuracy"] = str(choice.finalist.mean)
            if choice.members:
                about[names.ENSEMBLE] = json.dumps(choice.members)
            if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
                client.create_registered_model(MODEL_NAME, description="Classifies texts as positive or negative")
            made = client.create_model_version(MODEL_NAME, f"runs:/{run_id}/{ARTIFACTS}", run_id, tags=about)
            number = str(made.version)
        logged = link_model(client, client.get_run(run_id), model.folder, paths)
        versions = json.dumps([{"name": MODEL_NAME, "version": number}])
        client.set_logged_model_tags(logged, {names.MODEL_VERSIONS: versions})
        client.set_registered_model_alias(MODEL_NAME, ALIAS, number)
    except MlflowException as error:
        raise UserError(
            f"MLflow at {mask(uri)} did not take the champion: {mask(str(error))}. Mend that, and run the same "
            "command again."
        ) from error
    return Champion(
        key=model.key, val_accuracy=model.val_accuracy, version=number, run_id=run_id, members=choice.members,
        files=files,
    ), new  # fmt: skip


def _version_of(client: MlflowClient, run_id: str, digest: str) -> str | None:
    """Return the first version of a run's model with a digest; None where there is none."""
    found = client.search_model_versions(f"name = '{MODEL_NAME}' and run_id = '{run_id}'")
    numbers = [int(each.version) for each in found if each.tags.get(names.MODEL_DIGEST) == digest]
    return str(min(numbers)) if numbers else None


def _run_of(client: MlflowClient, header: Header) -> str | None:
    """Return the run in MLflow of a journal here, and not one that another person has under the same key."""
    experiment = client.get_experiment_by_name(header.experiment)
    if experiment is None:
        return None
    ours = f"tags.`{names.KEY}` = '{header.key}' AND tags.`{names.UID}` = '{header.uid}'"
    found = client.search_runs([experiment.experiment_id], ours)
    return found[0].info.run_id if found else None


def save(model: Path, folder: Path) -> None:
    """Write a model folder as a pyfunc in models-from-code form: nothing in it is pickled."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # which tells of every step
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(CODE),
        artifacts={"model": str(model)},
        code_paths=[str(CODE.parents[2] / "seqclf_core")],
        input_example=[EXAMPLE],
        pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
    )
