"""The champion: the best finished model by validation, registered in MLflow's model registry: ``make champion``.

    make champion                   # of finalists studies where there are some, else of all on whole data
    make champion NAME=imdb

Which one that is, ``experiments/serving/choosing.py`` says.

MLflow gets a copy of the model folder with the code to run it, under the run that trained it. Another copy lies in
``runs/champion``, for `make predict`: neither goes when a study frees the weights of its lesser runs.
"""

import json
import logging
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from filelock import FileLock

from experiments.serving.choosing import Choice, FinishedModel, choose
from experiments.tracking import names
from experiments.tracking.paths import RunPaths, mask, set_mlflow_environment
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "seqclf"
ALIAS = "champion"
MODEL_URI = f"models:/{MODEL_NAME}@{ALIAS}"
FOLDER = "champion"
"""Under the run's artifacts in MLflow, and under RUNS."""
CODE = Path(__file__).with_name("champion_model.py")
PACKAGES = (
    "mlflow", "numpy", "pydantic", "tyro", "filelock", "safetensors", "tokenizers", "torch"
)  # fmt: skip
"""What the code of the champion imports; the versions of here go into the registry."""
EXAMPLE = "A superb film, moving and witty to its last scene."


def main(
    runs: Path = Path("runs"),
    name: str | None = None,
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
) -> int:
    """Register the best finished model by validation accuracy as the champion.

    Of finalists, that is the best seed of the settings with the best mean over seeds.

    Args:
        runs: The folder with all that is recorded.
        name: Of a study or experiment; none: finished finalists where there are some, else all on whole data.
        tracking_uri: MLflow's address; else $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
    """
    paths = RunPaths(runs)
    choice = choose(paths, name)
    set_mlflow_environment()
    uri = paths.tracking_uri(tracking_uri)
    with FileLock(paths.champion_lock):  # two of these at once would register twice
        number, new = register(paths, choice, uri)
        keep_copy(paths, choice.model, number)
    what = "is now" if new else "is already"
    print(f"{choice} {what} version {number} of {MODEL_NAME!r}, alias {ALIAS!r}, in {mask(uri)}")
    return 0


def register(paths: RunPaths, choice: Choice, uri: str) -> tuple[str, bool]:
    """Make a model the champion in MLflow's registry, unless it is already.

    Returns:
        The version's number, and whether it is new.

    Raises:
        UserError: if MLflow does not have the run that trained it, or refuses.
    """
    from experiments.tracking.sync import deliver

    model = choice.model
    undelivered = deliver(paths.runs, uri).undelivered
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient(uri, uri)
    try:
        known = _champion(client)
        if known and known[1] == model.key:
            return known[0], False
        run_id = _run_of(client, model.key)
        if run_id is None:
            reason = next(iter(undelivered.values()), "it was deleted there")
            raise UserError(f"The run {model.key} is not in MLflow at {mask(uri)}: {mask(reason)}")
        with tempfile.TemporaryDirectory() as folder:
            save(model.folder, Path(folder) / FOLDER)
            client.log_artifacts(run_id, str(Path(folder) / FOLDER), FOLDER)
        if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
            client.create_registered_model(MODEL_NAME, description="Classifies reviews as positive or negative")
        about = {names.KEY: model.key, "best/val_accuracy": str(model.val_accuracy)}
        if choice.finalist:
            about |= {names.FINALIST: choice.finalist.settings, "mean/val_accuracy": str(choice.finalist.mean)}
        made = client.create_model_version(MODEL_NAME, f"runs:/{run_id}/{FOLDER}", run_id, tags=about)
        client.set_registered_model_alias(MODEL_NAME, ALIAS, made.version)
    except MlflowException as error:
        raise UserError(f"MLflow at {mask(uri)} did not take the champion: {mask(str(error))}") from error
    return str(made.version), True


def _champion(client: "MlflowClient") -> tuple[str, str] | None:
    """Return version and key of the champion; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version_by_alias(MODEL_NAME, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return str(found.version), found.tags.get(names.KEY, "")


def _run_of(client: "MlflowClient", key: str) -> str | None:
    experiment = client.get_experiment_by_name(key.split("/")[0])
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{names.KEY}` = '{key}'")
    return found[0].info.run_id if found else None


def save(model: Path, folder: Path) -> None:
    """Write a model folder as a pyfunc in models-from-code form: nothing in it is pickled."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # which tells of every step
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(CODE),
        artifacts={"model": str(model)},
        code_paths=[str(CODE.parents[2] / "seqclf_core")],
        input_example=[EXAMPLE],
        pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
    )


def keep_copy(paths: RunPaths, model: FinishedModel, number: str) -> None:
    """Copy the champion under RUNS and let ``champion.json`` point to it; then the one before goes."""
    copies = paths.champion
    folder = copies / model.key.replace("/", "-")
    if not folder.exists():
        new = copies / "new"
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
        shutil.copytree(model.folder, new)
        new.rename(folder)
    about = {
        "folder": folder.relative_to(paths.runs).as_posix(),
        "key": model.key,
        "val_accuracy": model.val_accuracy,
        "version": number,
    }
    path = paths.champion_record
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(about, indent=1), encoding="utf-8")
    beside.replace(path)
    for other in copies.iterdir():
        if other != folder:
            shutil.rmtree(other)


if __name__ == "__main__":
    run_command(lambda: tyro.cli(main, prog="python -m experiments.serving.registry"))
