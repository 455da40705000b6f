"""The best finished model answers, from whatever it is asked."""

import json
import subprocess
from pathlib import Path

import pytest

from experiments.serving.champion import copy_of, read_champion
from experiments.serving.choosing import answering_model, best_model
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.errors import SavedError, UserError
from seqclf_core.inference import Classifier
from seqclf_core.run import run
from tests.experiments.serving.served import make_record, seqclf


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, reviews_folder: Path, cache: Path) -> Path:
    """A folder with two finished runs, a better one and a worse one."""
    folder = tmp_path_factory.mktemp("runs")
    base = RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 8, "model.hidden_dim": 8, "train.batch_size": 8,
         "model.embed_dropout": 0.1, "train.lr": 0.02, "train.warmup_steps": 5, "train.epochs": 3}
    )  # fmt: skip
    list(run(base, folder / "work" / "demo" / "0000", cache))
    list(run(base.override({"train.lr": 1e-7}), folder / "work" / "demo" / "0001", cache))
    return folder


def test_the_best_by_validation_is_taken(runs: Path) -> None:
    assert best_model(runs, None) == best_model(runs, "demo") == runs / "work" / "demo" / "0000" / "model"
    with pytest.raises(UserError, match="no finished model under the name 'other'"):
        best_model(runs, "other")


def test_a_model_on_limited_data_must_be_named(runs: Path, tmp_path: Path) -> None:
    source = runs / "work" / "demo" / "0000"
    folder = tmp_path / "work" / "demo" / "0000"
    folder.mkdir(parents=True)
    (folder / "model").symlink_to(source / "model")
    recorded = json.loads((source / "events.json").read_text())
    recorded["events"][0]["data"]["data_scope"] = "limited"
    (folder / "events.json").write_text(json.dumps(recorded))
    with pytest.raises(UserError, match="NAME="):
        best_model(tmp_path, None)
    assert best_model(tmp_path, "demo") == folder / "model"


def test_it_has_learned_and_neighbours_change_nothing(runs: Path) -> None:
    classifier = Classifier.load(best_model(runs, None))
    texts = ["dull the film was superb", "superb the film was dull", "never seen words", "<br />", "x" * 10_000]
    probabilities = classifier.predict(texts)
    assert probabilities[0] > 0.5 > probabilities[1]
    assert [classifier.predict([text])[0] for text in texts] == pytest.approx(probabilities, abs=1e-6)
    assert len(classifier.predict([])) == 0


@pytest.mark.parametrize("part", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_folder_is_named(runs: Path, tmp_path: Path, part: str, damage: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for each in best_model(runs, None).iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    if damage == "missing":
        (folder / part).unlink()
    else:
        content = (folder / part).read_bytes()
        (folder / part).write_bytes(content[: len(content) // 2] if damage == "cut" else b"[]")
    with pytest.raises(SavedError):
        Classifier.load(folder)


def command(*arguments: str, runs: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    given = None if text is None else text.encode("utf-8", "surrogateescape")
    return seqclf("predict", "--runs", runs, *arguments, text=given)


def test_the_command_reads_text_file_and_standard_input(runs: Path, tmp_path: Path) -> None:
    review = "dull the film was superb"
    (tmp_path / "reviews.txt").write_text(f"{review}\n\n{review}\n")
    by_text = command("--text", review, runs=runs).stdout.split()
    assert by_text[0] == "positive"
    for answer in (
        command("--file", str(tmp_path / "reviews.txt"), runs=runs),
        command(runs=runs, text=f"{review}\n{review}"),
    ):
        assert [line.split("\t")[:2] for line in answer.stdout.splitlines()] == [by_text, by_text]


def test_bad_input_is_told(runs: Path, tmp_path: Path) -> None:
    for answer, told in (
        (command("--text", "  ", runs=runs), "empty"),
        (command("--file", "/no/such/file", runs=runs), "cannot be read"),
        (command(runs=runs, text="\udcff\udcfe"), "not UTF-8"),
        (command(runs=runs, text=""), "no text"),
        (command("--text", "x", runs=tmp_path), "make study"),
    ):
        assert answer.returncode == 2
        assert told in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_named_mistake_is_never_taken_unless_it_is_named(runs: Path, tmp_path: Path) -> None:
    for number, pooling in (("0000", "last_position"), ("0001", "last")):
        source, folder = runs / "work" / "demo" / number, tmp_path / "work" / "pitfall" / number
        (folder / "model").mkdir(parents=True)
        (folder / "events.json").write_bytes((source / "events.json").read_bytes())
        settings = json.loads((source / "model" / "config.json").read_text())
        settings["config"]["model"]["pooling"] = pooling
        (folder / "model" / "config.json").write_text(json.dumps(settings))
    assert best_model(tmp_path, None) == tmp_path / "work" / "pitfall" / "0001" / "model"
    assert best_model(tmp_path, "pitfall") == tmp_path / "work" / "pitfall" / "0000" / "model"


def test_a_registered_champion_goes_before_the_best(runs: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    assert read_champion(paths) is None
    (tmp_path / "work").symlink_to(runs / "work")
    champion = make_record(paths, runs / "work" / "demo" / "0001" / "model")
    assert answering_model(paths, None) == copy_of(paths, champion)
    assert answering_model(paths, "demo") == tmp_path / "work" / "demo" / "0000" / "model"
    answer = seqclf("predict", "--runs", tmp_path, "--text", "x")
    assert answer.stderr.strip() == f"Loading the model, {copy_of(paths, champion)}."
    assert len(answer.stdout.splitlines()) == 1
