"""The champion: chosen by validation, registered once, kept with its digests, and mended by the next call."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion

from experiments.serving.champion import Champion, keep_champion, read_champion
from experiments.serving.choosing import answering_model, choose, finalists, finished_models
from experiments.serving.registry import ALIAS, MODEL_NAME, make_champion
from experiments.tracking import names
from experiments.tracking.digests import digests
from experiments.tracking.journal import Header
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import Sync, sync_once
from reports.stats.finalists import finalists as ranked_by_report
from seqclf_core.config import RunConfig, Settings
from seqclf_core.errors import SavedError, UserError
from seqclf_core.events import Event
from seqclf_core.inference import Classifier
from seqclf_core.run import run
from tests import forked
from tests.experiments.serving.served import ROOT, TEXTS, make_record, seqclf, serving


def record(
    paths: RunPaths, config: Settings, key: str, cache: Path, does: Callable[..., Iterator[Event]] = run,
    **tags: str,
) -> None:  # fmt: skip
    """Do a run as a study does, and record it; ``does`` makes it a linear model's."""
    study = key.split("/")[0]
    header = Header(
        key=key, name=key, experiment=study, role="trial", params=config.flat(),
        tags={"seqclf.data_scope": "whole", **tags},
    )  # fmt: skip
    with Recorder.open(paths.journal(key), header) as recorder:
        for event in does(config, paths.work(key), cache):
            recorder.record(event)
        recorder.close("complete")


@pytest.fixture(scope="module")
def paths(
    tmp_path_factory: pytest.TempPathFactory, reviews_folder: Path, cache: Path, empty_database: Path
) -> RunPaths:
    """A search with a good run, and finalists of it with worse ones: the best on average has not the best seed."""
    paths = RunPaths(tmp_path_factory.mktemp("runs"))
    config = RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 8, "model.hidden_dim": 8, "train.batch_size": 8,
         "model.embed_dropout": 0.1, "train.lr": 0.02, "train.warmup_steps": 5, "train.epochs": 2}
    )  # fmt: skip
    record(paths, config, "imdb/0000", cache)
    record_finalists(paths, config, cache)
    shutil.copy(empty_database, paths.mlflow_database)
    return paths


def record_finalists(paths: RunPaths, config: RunConfig, cache: Path, study: str = "finalists") -> None:
    """Do two finalists on two seeds each: one learns a little every time, the other well, or not at all."""
    steady = config.override({"train.epochs": 1, "train.lr": 0.01})
    lucky, unlucky = config.override({"train.epochs": 3}), config.override({"train.lr": 1e-7})
    runs = [("imdb/0000", steady, 1), ("imdb/0001", lucky, 1), ("imdb/0000", steady, 2), ("imdb/0001", unlucky, 2)]
    header = Header(
        key=f"{study}/study",
        name=study,
        experiment=study,
        role="study",
        tags=StudyPlan(study_type="finalists", of="imdb").tags(),
    )
    with Recorder.open(paths.journal(header.key), header) as recorder:
        for number, (finalist, settings, seed) in enumerate(runs):
            key = f"{study}/{number:04d}"
            record(paths, settings.override({"seed": seed}), key, cache, **{names.FINALIST: finalist})
        recorder.close("complete")


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
    runs = pd.DataFrame(rows, columns=["config", "best/val_accuracy"])
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


def champion_of(paths: RunPaths) -> Champion:
    found = read_champion(paths)
    assert found
    return found


def versions(paths: RunPaths) -> list[ModelVersion]:
    client = MlflowClient(paths.tracking_uri(), paths.tracking_uri())
    return list(client.search_model_versions(f"name = '{MODEL_NAME}'"))


def test_the_champion_is_registered_once_and_needs_no_study(paths: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    uri = copy.tracking_uri()
    said = [make_champion(copy, None, None) for _ in range(2)]
    assert ["is now" in each for each in said] == [True, False]
    (version,) = versions(copy)
    client = MlflowClient(uri, uri)
    assert client.get_model_version_by_alias(MODEL_NAME, ALIAS).version == version.version
    best = choose(copy, None)
    trained = client.get_run(version.run_id)
    assert trained.data.tags[names.KEY] == version.tags[names.KEY] == best.model.key
    assert version.tags[names.FINALIST] == "imdb/0000"
    assert trained.info.status == "FINISHED"
    champion = champion_of(copy)
    assert (champion.key, champion.version) == (best.model.key, "1")
    assert champion.digest == version.tags[names.MODEL_DIGEST]
    kept = [path.name for path in copy.artifacts.rglob("*") if path.is_file()]
    assert "model.safetensors" in kept
    assert "input_example.json" in kept
    assert not [name for name in kept if name.endswith((".pkl", ".pickle", ".pyc", ".pt"))]

    wanted = Classifier.load(best.model.folder).predict(TEXTS)
    for gone in (copy.work("finalists"), copy.journals, copy.runs / "mlflow.db", copy.artifacts):
        gone.rename(tmp_path / gone.name)
    assert Classifier.load(answering_model(copy, None)).predict(TEXTS) == pytest.approx(wanted, abs=0)
    assert answering_model(copy, "imdb") == copy.work("imdb/0000") / "model"
    with serving(copy.runs) as served:
        assert served.predictions(TEXTS) == pytest.approx(wanted, abs=1e-6)
    assert not (copy.runs / "mlflow.db").exists()


def test_models_of_finalists_and_of_the_champion_are_linked_to_their_runs(paths: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    shutil.rmtree(copy.work("finalists/0001") / "model")  # whose weights were not worth their space
    sync_once(copy.runs)
    assert sorted(linked_models(copy, "finalists")) == ["finalists/0000", "finalists/0002", "finalists/0003"]
    assert linked_models(copy, "imdb") == {}
    make_champion(copy, None, None)
    make_champion(copy, "imdb", None)
    assert sorted(linked_models(copy, "finalists")) == ["finalists/0000", "finalists/0002", "finalists/0003"]
    (model,) = linked_models(copy, "imdb")["imdb/0000"]
    assert model.tags[names.MODEL_DIGEST] == champion_of(copy).digest
    assert "work/imdb/0000/model" in model.tags[names.DESCRIPTION]
    assert json.loads(model.tags[names.MODEL_VERSIONS]) == [{"name": MODEL_NAME, "version": "2"}]
    before = linked_models(copy, "finalists")
    Sync(copy).once(thorough=True)
    assert {key: len(models) for key, models in linked_models(copy, "finalists").items()} == dict.fromkeys(
        before, 1
    )


def linked_models(paths: RunPaths, name: str) -> dict[str, list[LoggedModel]]:
    """Return the models that are linked to runs of a study in MLflow, by the key of the run."""
    client = MlflowClient(paths.tracking_uri(), paths.tracking_uri())
    experiment = client.get_experiment_by_name(name)
    assert experiment
    return {
        run.data.tags[names.KEY]: [client.get_logged_model(each.model_id) for each in run.outputs.model_outputs]
        for run in client.search_runs([experiment.experiment_id])
        if run.outputs and run.outputs.model_outputs
    }


def test_the_run_of_another_person_under_the_same_key_is_not_ours(paths: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    sync_once(copy.runs)
    client = MlflowClient(copy.tracking_uri(), copy.tracking_uri())
    experiment = client.get_experiment_by_name("imdb")
    assert experiment
    tags = {names.KEY: "imdb/0000", names.UID: "of another person"}
    theirs = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    make_champion(copy, "imdb", None)
    assert [version.run_id for version in versions(copy)] == [champion_of(copy).run_id] != [theirs]


@pytest.mark.parametrize(
    "moment",
    [
        "create_logged_model",
        "log_outputs",
        "log_artifacts",
        "create_model_version",
        "set_registered_model_alias",
        "copytree",
    ],
)
def test_a_kill_at_any_moment_is_mended_by_the_next_call(paths: RunPaths, tmp_path: Path, moment: str) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    killed = f"""
import os, shutil
from mlflow import MlflowClient
from experiments.serving.registry import make_champion
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from pathlib import Path

def dying(called):
    def call(*arguments, **named):
        called(*arguments, **named)
        os._exit(9)
    return call

owner = shutil if {moment!r} == "copytree" else MlflowClient
setattr(owner, {moment!r}, dying(getattr(owner, {moment!r})))
make_champion(RunPaths(Path({str(copy.runs)!r})), None, None)
"""
    assert forked.run([sys.executable, "-c", killed], cwd=ROOT, check=False).returncode == 9
    make_champion(copy, None, None)
    (version,) = versions(copy)
    client = MlflowClient(copy.tracking_uri(), copy.tracking_uri())
    assert client.get_model_version_by_alias(MODEL_NAME, ALIAS).version == version.version
    assert champion_of(copy).version == str(version.version)
    assert Classifier.load(answering_model(copy, None)).predict(TEXTS)[0] > 0
    assert [each.name for each in (copy.runs / "champion").iterdir()] == [champion_of(copy).digest[:16]]


def test_the_same_run_trained_again_is_another_version(paths: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    make_champion(copy, "imdb", None)
    settings = copy.work("imdb/0000") / "model" / "config.json"
    settings.write_text(settings.read_text() + "\n")
    assert "is now" in make_champion(copy, "imdb", None)
    assert "is already" in make_champion(copy, "imdb", None)
    assert len(versions(copy)) == 2


def damage_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"damaged")


def remove_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def add_code(folder: Path) -> None:
    (folder / "code.py").write_text("print('hello')")


def link_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def pipe_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


@pytest.mark.parametrize("damage", [damage_weights, remove_tokenizer, add_code, link_weights, pipe_for_weights])
def test_a_copy_that_is_not_what_was_recorded_is_refused_and_made_again(
    paths: RunPaths, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    model = finished_models(paths.runs)[0].folder
    copy = RunPaths(tmp_path)
    champion = make_record(copy, model)
    damage(answering_model(copy, None))
    for command in ("predict", "serve"):
        answer = seqclf(command, "--runs", tmp_path, *(["--text", "x"] if command == "predict" else []))
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1
    with pytest.raises(UserError, match=r"link or no plain file|`seqclf champion`"):
        answering_model(copy, None)
    keep_champion(copy, model, champion)
    assert digests(answering_model(copy, None)) == champion.files


def test_another_champion_takes_the_place_of_the_one_before(paths: RunPaths, tmp_path: Path) -> None:
    for model in finished_models(paths.runs):
        champion = make_record(RunPaths(tmp_path), model.folder, model.key)
        assert [path.name for path in (tmp_path / "champion").iterdir()] == [champion.digest[:16]]
        assert champion_of(RunPaths(tmp_path)) == champion
        copy = answering_model(RunPaths(tmp_path), None)
        assert Classifier.load(copy).predict(TEXTS) == pytest.approx(Classifier.load(model.folder).predict(TEXTS))


def test_what_is_missing_here_is_fetched_and_checked(paths: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "runs")
    shutil.copytree(paths.runs, copy.runs)
    make_champion(copy, None, None)
    wanted = champion_of(copy).files
    shutil.rmtree(copy.runs / "champion")
    assert seqclf("predict", "--runs", copy.runs, "--text", "x").returncode == 0  # fetches it
    assert digests(answering_model(copy, None)) == wanted

    shutil.rmtree(copy.runs / "champion")
    (weights,) = copy.artifacts.rglob("model.safetensors")
    weights.write_bytes((finished_models(paths.runs)[-1].folder / "config.json").read_bytes())
    with pytest.raises(UserError, match="were not loaded: they are not those that `seqclf champion` recorded"):
        answering_model(copy, None)
    weights.unlink()
    with pytest.raises(UserError, match="does not have its files"):
        answering_model(copy, None)
    (copy.runs / "mlflow.db").unlink()
    with pytest.raises(UserError, match="there is no database"):
        answering_model(copy, None)
    assert not (copy.runs / "mlflow.db").exists()
    assert not (copy.runs / "champion").exists()


@pytest.mark.parametrize("record", ["", "{", "[" * 100_000, '{"key": "x"}', '{"folder": "/etc"}'])
def test_a_record_that_cannot_be_read_is_told_in_a_line(tmp_path: Path, record: str) -> None:
    RunPaths(tmp_path).champion_record.write_text(record)
    with pytest.raises(SavedError, match="`seqclf champion` writes it again") as raised:
        answering_model(RunPaths(tmp_path), None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", ".hidden", "a/../b", "a/b/c", ""])
def test_a_record_names_no_file_outside_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="match"):
        Champion(key="a/0", val_accuracy=0.9, version="1", run_id="r", files={name: "0" * 64})


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


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make study"):
        make_champion(RunPaths(tmp_path), None, None)
