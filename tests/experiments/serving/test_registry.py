"""A pickle in the entry of the model registry that `make serve` would answer from is refused, and not run."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from tokenizers import Tokenizer

from experiments.serving import registry, serve
from experiments.tracking.database import prepare_database
from experiments.tracking.paths import RunPaths, set_mlflow_environment
from seqclf_core.config import RunConfig
from seqclf_core.data.vocabulary import train_tokenizer
from seqclf_core.errors import UserError
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import save_model


class Trap:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make champion` gives to the registry, of a model that has learned nothing."""
    place = tmp_path_factory.mktemp("entry")
    tokenizer: Tokenizer = train_tokenizer(["a good film", "a bad film"] * 2, 50)
    tokenizer.save(str(place / "tokenizer.json"))
    config = RunConfig().override({"model.embed_dim": 4, "model.hidden_dim": 4})
    model = SequenceClassifier(config.model, tokenizer.get_vocab_size())
    save_model(place / "model", model, config, place / "tokenizer.json", tags=[])
    registry.save(place / "model", place / "entry")
    return place / "entry"


def in_its_place(entry: Path, trap: bytes, **form: str) -> None:
    """Turn an entry into one whose model is a pickle, loaded in the way that ``form`` says."""
    (entry / "python_model.pkl").write_bytes(trap)
    about = Model.load(str(entry))
    del about.flavors["python_function"]["model_code_path"]
    about.flavors["python_function"].update(form)
    about.save(str(entry / "MLmodel"))


def as_python_model(entry: Path, trap: bytes) -> None:
    in_its_place(entry, trap, python_model="python_model.pkl", cloudpickle_version="3.1.2")


def by_another_library(entry: Path, trap: bytes) -> None:
    in_its_place(
        entry, trap, loader_module="mlflow.sklearn", model_path="python_model.pkl", data="python_model.pkl"
    )


def as_weights(entry: Path, trap: bytes) -> None:
    (entry / "artifacts" / "model" / "model.safetensors").write_bytes(trap)


@pytest.fixture
def register(entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Register the entry, with something done to it first, and return MLflow's address."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = RunPaths(tmp_path / "runs")
    uri = paths.tracking_uri()

    def do(change: Callable[[Path, bytes], None] | None = None, trap: bytes = b"") -> str:
        set_mlflow_environment()
        prepare_database(paths, uri)
        shutil.copytree(entry, tmp_path / "entry")
        if change:
            change(tmp_path / "entry", trap)
        client = MlflowClient(uri, uri)
        client.create_registered_model(registry.MODEL_NAME)
        made = client.create_model_version(registry.MODEL_NAME, str(tmp_path / "entry"))
        client.set_registered_model_alias(registry.MODEL_NAME, registry.ALIAS, made.version)
        return uri

    yield do
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")


@pytest.mark.parametrize("plant", [as_python_model, by_another_library, as_weights])
@pytest.mark.parametrize("allowed", ["false", "true"])
def test_a_pickle_is_refused_whatever_mlflow_allows(
    plant: Callable[[Path, bytes], None],
    allowed: str,
    register: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", allowed)
    uri = register(plant, pickle.dumps(Trap(tmp_path / "executed")))
    with pytest.raises(UserError, match=r"make champion|no whole safetensors file"):
        serve.application(uri)
    assert not (tmp_path / "executed").exists()


def test_the_same_entry_without_a_pickle_is_loaded(register: Callable[..., str]) -> None:
    assert serve.application(register()).routes
