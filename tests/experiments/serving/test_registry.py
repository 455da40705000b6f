"""Whoever can write to MLflow's registry runs no code and places no weights here: not even as another user."""

import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from experiments.serving import registry
from experiments.serving.choosing import answering_model
from experiments.tracking.artifacts import read_without_server
from experiments.tracking.paths import RunPaths, set_mlflow_environment
from seqclf_core.errors import UserError
from seqclf_core.inference import Classifier
from tests import forked
from tests.experiments.serving.served import ROOT, TEXTS, make_model, make_record, seqclf, serving

NOBODY = 65534
ATTACK = """
import os, sys
from pathlib import Path
from mlflow import MlflowClient

def register(place):
    client = MlflowClient(f"sqlite:///{place}/mlflow.db", f"sqlite:///{place}/mlflow.db")
    client.create_registered_model(NAME)
    made = client.create_model_version(NAME, f"{place}/entry")
    client.set_registered_model_alias(NAME, ALIAS, made.version)

register(REHEARSAL)  # whose imports need more rights than the attack has
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
register(PLACE)
try:
    Path(RECORD).open("w")
except PermissionError:
    print("refused")
"""


class Trap:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture
def entry(model: Path, tmp_path: Path) -> Path:
    """What `seqclf champion` gives to the registry."""
    registry.save(model, tmp_path / "entry")
    return tmp_path / "entry"


@pytest.fixture
def paths(tmp_path: Path, empty_database: Path) -> RunPaths:
    """RUNS with an MLflow that holds nothing."""
    paths = RunPaths(tmp_path / "runs")
    paths.runs.mkdir()
    shutil.copy(empty_database, paths.mlflow_database)
    return paths


def as_python_model(entry: Path, marker: Path) -> None:
    """A pickle in MLflow's form."""
    (entry / "python_model.pkl").write_bytes(pickle.dumps(Trap(marker)))
    about = Model.load(str(entry))
    del about.flavors["python_function"]["model_code_path"]
    about.flavors["python_function"].update(python_model="python_model.pkl", cloudpickle_version="3.1.2")
    about.save(str(entry / "MLmodel"))


def as_code(entry: Path, marker: Path) -> None:
    """Code in the form of our own champion."""
    trap = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    (entry / registry.CODE.name).write_text(trap + registry.CODE.read_text())


def as_our_package(entry: Path, marker: Path) -> None:
    """Code in the copy of our package beside it."""
    (entry / "code" / "seqclf_core" / "__init__.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()"
    )


def as_weights(entry: Path, marker: Path) -> None:
    """A pickle under the name of the weights."""
    (entry / "artifacts" / "model" / "model.safetensors").write_bytes(pickle.dumps(Trap(marker)))


def register(paths: RunPaths, entry: Path) -> None:
    """Make an entry the champion in MLflow, as whoever can write there may."""
    uri = paths.tracking_uri()
    client = MlflowClient(uri, uri)
    client.create_registered_model(registry.MODEL_NAME)
    made = client.create_model_version(registry.MODEL_NAME, str(entry))
    client.set_registered_model_alias(registry.MODEL_NAME, registry.ALIAS, made.version)


def test_those_who_trust_the_registry_can_load_it_with_mlflow(entry: Path, model: Path) -> None:
    answers = mlflow.pyfunc.load_model(str(entry)).predict(TEXTS)
    assert answers == pytest.approx(Classifier.load(model).predict(TEXTS), abs=1e-6)
    assert not [path for path in entry.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]


@pytest.mark.parametrize("plant", [as_python_model, as_code, as_our_package, as_weights])
def test_what_stands_in_the_registry_is_not_run(
    plant: Callable[[Path, Path], None],
    entry: Path,
    model: Path,
    paths: RunPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    marker = tmp_path / "executed"
    plant(entry, marker)
    register(paths, entry)
    for command in (("serve",), ("predict", "--text", "x")):
        answer = seqclf(*command, "--runs", paths.runs)  # no champion was ever made here
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1
    make_record(paths, model)
    wanted = Classifier.load(model).predict(TEXTS)
    assert Classifier.load(answering_model(paths, None)).predict(TEXTS) == pytest.approx(wanted)
    with serving(paths.runs) as served:
        assert served.predictions(TEXTS) == pytest.approx(wanted, abs=1e-6)
    assert not marker.exists()


@pytest.mark.parametrize("plant", [as_code, as_weights])
def test_what_was_put_in_the_place_of_the_artifacts_is_not_fetched(
    plant: Callable[[Path, Path], None],
    entry: Path,
    model: Path,
    paths: RunPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    set_mlflow_environment()
    marker = tmp_path / "executed"
    uri = paths.tracking_uri()
    plant(entry, marker)
    client = MlflowClient(uri, uri)
    read_without_server(paths.artifacts)
    run_id = client.create_run("0").info.run_id
    client.log_artifacts(run_id, str(entry), "champion")
    make_record(paths, model, run_id=run_id)
    shutil.rmtree(paths.runs / "champion")
    if plant is as_weights:
        with pytest.raises(UserError, match="were not loaded"):
            answering_model(paths, None)
    else:  # only the model folder is fetched, and no code
        assert Classifier.load(answering_model(paths, None)).predict(TEXTS)[0] > 0
    assert not marker.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_can_write_to_mlflow_cannot_replace_the_champion(
    entry: Path, model: Path, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths, marker = RunPaths(tmp_path / "runs"), tmp_path / "executed"
    make_record(paths, model)
    as_code(entry, marker)
    for place in ("rehearsal", "open"):
        (tmp_path / place).mkdir()
        shutil.copy(empty_database, tmp_path / place)
    shutil.copytree(entry, tmp_path / "open" / "entry")
    for path in (tmp_path / "open", *(tmp_path / "open").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o111)
    names = {
        "NAME": registry.MODEL_NAME, "ALIAS": registry.ALIAS, "NOBODY": NOBODY, "PLACE": str(tmp_path / "open"),
        "REHEARSAL": str(tmp_path / "rehearsal"), "RECORD": str(paths.runs / "champion.json"),
    }  # fmt: skip
    attack = "".join(f"{name} = {value!r}\n" for name, value in names.items()) + ATTACK
    done = forked.run([sys.executable, "-c", attack], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/open/mlflow.db")
    assert seqclf("predict", "--runs", paths.runs, "--text", "x").returncode == 0
    with serving(paths.runs) as served:
        assert served.predictions(TEXTS)
    assert not marker.exists()
