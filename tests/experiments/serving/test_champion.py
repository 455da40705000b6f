"""The champion: registered once, independent of the study's own files, the same over HTTP as by `make predict`."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.serving import registry, serve
from experiments.serving.choosing import champion as registered
from experiments.serving.choosing import choose, finalists, finished_models
from experiments.serving.predict import Options, chosen
from experiments.tracking.database import prepare_database
from experiments.tracking.journal import Header
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from reports.stats.finalists import finalists as ranked_by_report
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.inference import Classifier
from seqclf_core.run import run

ROOT = Path(__file__).parents[3]
TEXTS = ["dull the film was superb", "superb the film was dull", 'Zwölf "Boxkämpfer" 🙂']


def record(paths: RunPaths, config: RunConfig, key: str, cache: Path, **tags: str) -> None:
    """Do a run as a study does, and record it."""
    study = key.split("/")[0]
    header = Header(
        key=key, name=key, experiment=study, role="trial", params=config.flat(),
        tags={"seqclf.data_scope": "whole", **tags},
    )  # fmt: skip
    with Recorder.open(paths.journal(key), header) as recorder:
        for event in run(config, paths.work(key), cache):
            recorder.record(event)
        recorder.close("complete")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, reviews_folder: Path, cache: Path) -> RunPaths:
    """A search with a good run, and finalists of it with worse ones: the best on average has not the best seed."""
    paths = RunPaths(tmp_path_factory.mktemp("runs"))
    config = RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 8, "model.hidden_dim": 8, "train.batch_size": 8,
         "model.embed_dropout": 0.1, "train.lr": 0.02, "train.warmup_steps": 5, "train.epochs": 2}
    )  # fmt: skip
    record(paths, config, "imdb/0000", cache)
    record_finalists(paths, config, cache)
    return paths


def record_finalists(paths: RunPaths, config: RunConfig, cache: Path, study: str = "finalists") -> None:
    """Do two finalists on two seeds each: one learns a little every time, the other well, or not at all."""
    steady = config.override({"train.epochs": 1, "train.lr": 0.01})
    lucky, unlucky = config.override({"train.epochs": 3}), config.override({"train.lr": 1e-7})
    runs = [("imdb/0000", steady, 1), ("imdb/0001", lucky, 1), ("imdb/0000", steady, 2), ("imdb/0001", unlucky, 2)]
    header = Header(key=f"{study}/study", name=study, experiment=study, role="study", tags={"seqclf.of": "imdb"})
    with Recorder.open(paths.journal(header.key), header) as recorder:
        for number, (finalist, settings, seed) in enumerate(runs):
            key = f"{study}/{number:04d}"
            record(paths, settings.override({"seed": seed}), key, cache, **{"seqclf.finalist": finalist})
        recorder.close("complete")


def ask(port: int, payload: object, **headers: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
        {"Content-Type": "application/json", **headers},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        read: dict[str, object] = json.load(answer)
    return read


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_finalists_go_before_others_and_a_name_before_them(paths: RunPaths) -> None:
    assert choose(paths, None) == choose(paths, "finalists")
    assert choose(paths, None).model.key.startswith("finalists/")
    assert choose(paths, "imdb").model.key == "imdb/0000"
    with pytest.raises(UserError, match="no finished model under the name 'other'"):
        choose(paths, "other")


def test_the_best_finalist_on_average_goes_before_the_one_with_the_best_seed(paths: RunPaths) -> None:
    steady, lucky = finalists(paths)
    assert (steady.settings, lucky.settings) == ("imdb/0000", "imdb/0001")
    assert max(lucky.scores.values()) > max(steady.scores.values())
    choice = choose(paths, None)
    assert choice.finalist == steady
    assert choice.model.val_accuracy == max(steady.scores.values())
    assert steady.scores[choice.model.key] == choice.model.val_accuracy
    # As the report ranks them, whatever the test scores are.
    rows = [(each.settings, score) for each in (lucky, steady) for score in each.scores.values()]
    runs = pd.DataFrame(rows, columns=["config", "val/accuracy"])
    runs["test/accuracy"] = (runs["config"] == lucky.settings).astype(float)
    assert list(ranked_by_report(runs)["config"]) == [steady.settings, lucky.settings]


def test_a_finalist_whose_weights_are_gone_is_told_and_no_other_put_in_its_place(
    paths: RunPaths, tmp_path: Path
) -> None:
    shutil.copytree(paths.runs, tmp_path / "runs", ignore=shutil.ignore_patterns("mlflow.db*", "artifacts"))
    copy = RunPaths(tmp_path / "runs")
    for key in finalists(copy)[0].scores:
        shutil.rmtree(copy.work(key) / "model")
    with pytest.raises(UserError, match=r"best finalist .* is imdb/0000 .* weights of its runs are gone"):
        choose(copy, None)
    assert choose(copy, "imdb").model.key == "imdb/0000"


def test_finalists_under_way_have_no_champion(paths: RunPaths, tmp_path: Path) -> None:
    shutil.copytree(paths.runs, tmp_path / "runs", ignore=shutil.ignore_patterns("mlflow.db*", "artifacts"))
    copy = RunPaths(tmp_path / "runs")
    path = copy.journal("finalists/study")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])  # its end is not there yet
    with pytest.raises(UserError, match="not finished"):
        choose(copy, "finalists")
    assert choose(copy, None).finalist is None


@pytest.fixture
def own_mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What serving sets for its whole process is taken back."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")


@pytest.mark.usefixtures("own_mlflow")
def test_the_champion_is_registered_once_and_answers_over_http(paths: RunPaths) -> None:
    from mlflow import MlflowClient

    uri = paths.tracking_uri()
    prepare_database(paths, uri)
    with pytest.raises(UserError, match="make champion"):
        serve.application(uri)
    assert registry.main(paths.runs) == registry.main(paths.runs) == 0
    client = MlflowClient(uri, uri)
    (version,) = client.search_model_versions(f"name = '{registry.MODEL_NAME}'")
    assert client.get_model_version_by_alias(registry.MODEL_NAME, registry.ALIAS).version == version.version
    trained = client.get_run(version.run_id)
    best = choose(paths, None)
    assert trained.data.tags["seqclf.key"] == version.tags["seqclf.key"] == best.model.key
    assert version.tags["seqclf.finalist"] == "imdb/0000"
    assert trained.info.status == "FINISHED"
    kept = [path.name for path in paths.artifacts.rglob("*") if path.is_file()]
    assert "model.safetensors" in kept
    assert "input_example.json" in kept
    assert not [name for name in kept if name.endswith((".pkl", ".pickle", ".pyc", ".pt"))]

    # Neither `make predict` nor `make serve` needs the study's own files any more.
    wanted = Classifier.load(best.model.folder).predict(TEXTS).tolist()
    paths.work("finalists").rename(paths.runs / "gone")
    copy = chosen(Options(runs=paths.runs))  # as `make predict` does
    assert copy == paths.runs / "champion" / best.model.key.replace("/", "-")
    assert Classifier.load(copy).predict(TEXTS).tolist() == wanted

    port = free_port()
    serving = [sys.executable, "-m", "experiments.serving.serve", "--runs", str(paths.runs), "--port", str(port)]
    process = subprocess.Popen(serving, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert f"http://127.0.0.1:{port}/invocations" in process.stdout.readline()
        assert ask(port, {"inputs": TEXTS}) == {"predictions": pytest.approx(wanted, abs=1e-6)}
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(port, {"wrong": 1})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(port, {"inputs": TEXTS}, Host="evil.org")
        for odd in (b"", b"{", b"[" * 100_000, b'{"inputs": ["\xff"]}', b'{"inputs": [NaN, null, 5, ["a"]]}'):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                ask(port, odd)
        own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
        assert ask(port, {"inputs": ["\ud800", ""]}, **own)["predictions"]
        for foreign in (
            {"Origin": "http://evil.org"},
            {"Origin": "null"},  # of a page in a sandboxed frame
            {"Origin": "http://evil.org", "Host": "evil.org"},  # a name that leads to this machine
            {"Origin": "http://evil.org", "Content-Type": "text/plain"},  # for which no browser asks first
            {"Origin": f"http://127.0.0.1:{port + 1}"},  # another server of this machine
            {"Sec-Fetch-Site": "cross-site"},  # an image, which names no origin
        ):
            with pytest.raises(urllib.error.HTTPError, match="400" if "Host" in foreign else "403"):
                ask(port, {"inputs": TEXTS}, **foreign)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_another_champion_takes_the_place_of_the_one_before(paths: RunPaths, tmp_path: Path) -> None:
    model = finished_models(paths.runs)[0]
    for key in ("imdb/0000", "imdb/0001", "imdb/0001"):
        registry.keep_copy(RunPaths(tmp_path), replace(model, key=key), "7")
        assert [path.name for path in (tmp_path / "champion").iterdir()] == [key.replace("/", "-")]
        assert json.loads((RunPaths(tmp_path).champion_record).read_text())["key"] == key
        copy = registered(tmp_path)
        assert copy
        assert Classifier.load(copy).predict(TEXTS) == pytest.approx(Classifier.load(model.folder).predict(TEXTS))


@pytest.mark.parametrize(("kind", "pooling"), [("limited", "last"), ("whole", "last_position")])
def test_what_cannot_be_compared_is_no_champion(paths: RunPaths, tmp_path: Path, kind: str, pooling: str) -> None:
    source, folder = finished_models(paths.runs)[0].folder.parent, tmp_path / "work" / "other" / "0000"
    (folder / "model").mkdir(parents=True)
    for file, path, value in (
        ("events.json", ("events", 0, "data", "data_scope"), kind),
        ("model/config.json", ("config", "model", "pooling"), pooling),
    ):
        content = json.loads((source / file).read_text())
        branch = content
        for step in path[:-1]:
            branch = branch[step]
        branch[path[-1]] = value
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match="make study"):
        choose(RunPaths(tmp_path), None)
    with pytest.raises(UserError, match="NAME=other"):
        choose(RunPaths(tmp_path), "other")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org"])
def test_it_is_served_to_this_machine_only(host: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tunnel"):
        serve.main(tmp_path, host=host)


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make study"):
        registry.main(tmp_path)
