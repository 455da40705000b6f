"""A run as a stream of events: repeatable, resumable from any step, scored on the test part once."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import NotFiniteError, SavedError, UserError
from seqclf_core.events import EVENT, Event, Finished, Progress, Saved, Started
from seqclf_core.inference import Classifier
from seqclf_core.run import run
from seqclf_core.training import trainer
from seqclf_core.training.checkpoint import load_classifier
from seqclf_core.training.skeleton import CHECKPOINT
from tests.core.run_events import curve


def whole(config: RunConfig, folder: Path, cache: Path) -> list[Event]:
    return list(run(config, folder, cache))


def test_a_run_learns_and_says_what_it_did(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    events = whole(small, tmp_path, cache)
    started, *_, finished = events
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    progress = [each for each in events if isinstance(each, Progress)]
    assert [each.evaluation for each in progress] == list(range(1, started.evaluations + 1)) == [1, 2, 3, 4, 5, 6]
    assert [each.epoch for each in progress] == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3], abs=0.03)
    assert progress[-1].step == 3 * started.data.sizes["train"]
    assert progress[-1].metrics["train/loss"] < progress[0].metrics["train/loss"]
    assert finished.metrics["test/accuracy"] > 0.9
    best = progress[finished.best_evaluation - 1]
    assert best.best
    assert (
        best.metrics["val/accuracy"]
        == max(each.metrics["val/accuracy"] for each in progress)
        == finished.metrics["best/val_accuracy"]
    )
    assert finished.metrics["best/val_loss"] == pytest.approx(best.metrics["val/loss"], rel=1e-4)
    assert all(EVENT.validate_json(each.model_dump_json()) == each for each in events)


def test_predictions_give_the_reported_scores(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    finished = whole(small, tmp_path, cache)[-1]
    assert isinstance(finished, Finished)
    for part, accuracy in (
        ("val", finished.metrics["best/val_accuracy"]),
        ("test", finished.metrics["test/accuracy"]),
    ):
        table = pq.read_table(tmp_path / finished.files[f"{part}_predictions"]).to_pandas()
        assert ((table.probability >= 0.5) == (table.label == 1)).mean() == pytest.approx(accuracy)
        assert table.row.is_unique
    model, config = load_classifier(tmp_path / finished.files["model"])
    assert config == small
    assert sum(weights.numel() for weights in model.parameters()) > 0


@pytest.mark.parametrize("pooling", ["last", "mean_max"])
def test_the_same_seed_gives_the_same_curve_and_another_another(
    small: RunConfig, tmp_path: Path, cache: Path, pooling: str
) -> None:
    config = small.override({"model.pooling": pooling, "train.epochs": 1})
    first = curve(whole(config, tmp_path / "a", cache))
    assert curve(whole(config, tmp_path / "b", cache)) == first
    assert curve(whole(config.override({"seed": 1}), tmp_path / "c", cache)) != first


@pytest.mark.parametrize(("stop_at", "average"), [(1, 0.0), (2, 0.9), (5, 0.0), (9, 0.9)])
def test_a_resumed_run_equals_an_uninterrupted_one(
    small: RunConfig, tmp_path: Path, cache: Path, stop_at: int, average: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small.override({"train.ema_decay": average})
    expected = curve(whole(small, tmp_path / "whole", cache))
    monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)  # a checkpoint after every step
    monkeypatch.setattr(trainer, "SAVE_SHARE", float("inf"))
    for saved, event in enumerate(run(small, tmp_path / "parts", cache)):
        if isinstance(event, Saved) and saved >= 10 * stop_at:
            break
    assert curve(whole(small, tmp_path / "parts", cache)) == expected


def test_a_run_killed_between_an_evaluation_and_its_checkpoint_goes_on(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    expected = curve(whole(small, tmp_path / "whole", cache))
    for event in run(small, tmp_path / "parts", cache):
        if isinstance(event, Progress) and event.evaluation == 2:
            break  # closed at the yield: this evaluation is in no checkpoint yet
    assert curve(whole(small, tmp_path / "parts", cache)) == expected


def test_a_caller_that_stops_early_never_sees_the_test_part(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    stream: Iterator[Event] = run(small, tmp_path, cache)
    for event in stream:
        if isinstance(event, Progress):
            break
    stream.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "predictions").exists()
    assert not (tmp_path / "model").exists()


def test_a_finished_run_says_the_same_again_without_working(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    events = [each for each in whole(small, tmp_path, cache) if not isinstance(each, Saved)]
    assert not (tmp_path / CHECKPOINT).exists()
    assert whole(small, tmp_path, tmp_path / "no cache is read") == events


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_cut_checkpoint_is_not_used(small: RunConfig, tmp_path: Path, cache: Path, keep: int) -> None:
    expected = curve(whole(small, tmp_path / "whole", cache))
    folder = tmp_path / "parts"
    for event in run(small, folder, cache):
        if isinstance(event, Saved):
            break
    content = (folder / CHECKPOINT).read_bytes()
    (folder / CHECKPOINT).write_bytes(content[:keep])
    assert curve(whole(small, folder, cache)) == expected


def test_a_checkpoint_of_other_settings_is_not_used(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    other = small.override({"train.lr": 0.01})
    for event in run(other, tmp_path / "parts", cache):
        if isinstance(event, Saved):
            break
    assert curve(whole(small, tmp_path / "parts", cache)) == curve(whole(small, tmp_path / "whole", cache))


def test_patience_ends_a_run_early_and_keeps_the_best_weights(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    config = small.override({"train.epochs": 40, "train.patience": 2})
    *_, finished = events = whole(config, tmp_path, cache)
    progress = [each for each in events if isinstance(each, Progress)]
    assert isinstance(finished, Finished)
    assert finished.reason == "early_stop"
    assert len(progress) == finished.best_evaluation + 2 < 80
    assert finished.metrics["best/val_accuracy"] == progress[finished.best_evaluation - 1].metrics["val/accuracy"]


def test_a_loss_that_is_not_finite_ends_the_run(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    config = small.override({"train.lr": 10.0, "train.max_grad_norm": 1e30, "model.loss": "bce"})
    stream = run(config, tmp_path, cache)
    next(stream)
    # The rate alone only saturates such a small model; a weight beyond the numbers is what a real blow-up leaves.
    frame = stream.gi_frame.f_locals["trainer"]  # type: ignore[attr-defined]
    frame.model.head.bias.data.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match=r"training loss is nan after \d+ examples"):
        list(stream)


def test_a_pickle_in_place_of_weights_is_refused_not_run(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    import pickle

    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)  # type: ignore[return-value]

    whole(small, tmp_path, cache)
    (tmp_path / "model" / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(SavedError, match="no whole safetensors file"):
        load_classifier(tmp_path / "model")
    assert not marker.exists()


def test_cuda_that_is_not_there_is_refused(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match=r"train\.device=cuda"):
        next(run(small.override({"train.device": "cuda"}), tmp_path, cache))


def test_the_checkpoint_is_no_pickle(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    for event in run(small, tmp_path, cache):
        if isinstance(event, Saved):
            break
    header_size = int.from_bytes((tmp_path / CHECKPOINT).read_bytes()[:8], "little")
    header = json.loads((tmp_path / CHECKPOINT).read_bytes()[8 : 8 + header_size])
    assert any(name.startswith("optimizer.") for name in header)


def test_a_divergence_can_be_scored_as_an_outcome(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    stream = run(small.override({"train.on_divergence": "score"}), tmp_path, cache)
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if isinstance(event, Progress) and event.evaluation == 2:
            stream.gi_frame.f_locals["trainer"].model.head.bias.data.fill_(float("nan"))  # type: ignore[attr-defined]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "diverged"
    assert finished.best_evaluation in (1, 2)
    assert finished.metrics["best/val_accuracy"] == max(
        each.metrics["val/accuracy"] for each in events if isinstance(each, Progress)
    )


def test_a_run_learns_from_probabilities_of_0_and_1_as_from_labels(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    small = small.override({"train.epochs": 1})
    corpus = load_corpus(small.data, cache)
    certain = replace(corpus, train=replace(corpus.train, labels=corpus.train.labels.astype(np.float32)))
    hard = curve(list(run(small, tmp_path / "hard", cache, corpus)))
    assert curve(list(run(small, tmp_path / "soft", cache, certain))) == hard


def test_soft_targets_teach_what_they_say(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    corpus = load_corpus(small.data, cache)
    turned = np.where(corpus.train.labels == 1, 0.2, 0.8).astype(np.float32)
    taught = replace(corpus, train=replace(corpus.train, labels=turned))
    finished = list(run(small, tmp_path, cache, taught))[-1]
    assert isinstance(finished, Finished)
    table = pq.read_table(tmp_path / finished.files["test_predictions"]).to_pandas()
    assert table.probability[table.label == 1].mean() < 0.5 < table.probability[table.label == 0].mean()


@pytest.mark.parametrize("reading", ["forward", "backward"])
def test_a_loaded_model_reads_texts_in_the_direction_it_was_trained_in(
    small: RunConfig, tmp_path: Path, cache: Path, reading: str
) -> None:
    config = small.override({"data.reading": reading, "train.epochs": 2, "train.precision": "fp32"})
    finished = whole(config, tmp_path, cache)[-1]
    assert isinstance(finished, Finished)
    table = pq.read_table(tmp_path / finished.files["test_predictions"]).to_pandas()
    lines = (Path(config.data.source) / "test.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(lines[row])["text"] for row in table.row]
    probabilities = Classifier.load(tmp_path / finished.files["model"]).predict(texts)
    np.testing.assert_allclose(probabilities, table.probability, atol=1e-4)
