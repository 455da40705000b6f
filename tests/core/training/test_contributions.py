"""What tokens add to an answer is what a small change of their vectors changes; the file tells the true errors."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from seqclf_core.config import DataConfig, ModelConfig, RunConfig
from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import Split, load_corpus
from seqclf_core.events import Finished
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.run import run
from seqclf_core.training.contributions import ERRORS, contributions, most_confident_errors

CPU = torch.device("cpu")


@pytest.mark.parametrize("reading", ["forward", "backward"])
@pytest.mark.parametrize(
    ("pooling", "loss", "both"),
    [("last", "bce", False), ("mean", "cross_entropy", True), ("attention", "bce", True)],
)
def test_a_contribution_is_the_slope_along_a_tokens_own_vector(
    reading: str, pooling: str, loss: str, both: bool
) -> None:
    settings = ModelConfig.model_validate(
        {"embed_dim": 4, "hidden_dim": 5, "pooling": pooling, "loss": loss, "bidirectional": both}
    )
    model = SequenceClassifier(settings, vocab_size=40).double()
    texts = [np.arange(2, 2 + length) for length in (3, 30, 7)]  # each token once, so that a row is one token
    split = Split(np.concatenate(texts), np.cumsum([0, 3, 30, 7]), np.array([0, 1, 1]), np.arange(3), None)
    encoded = EncodedSplit(split, DataConfig.model_validate({"max_length": 20, "reading": reading}))
    found = contributions(model, LOSSES[loss], encoded, np.array([1, 2]), CPU)
    assert [len(values) for values in found] == [20, 7]
    assert model.training
    model.eval()
    for number, row in enumerate((1, 2)):
        read = split.tokens[encoded.starts[row] : encoded.starts[row] + encoded.lengths[row]]
        for position in (0, len(read) // 2, len(read) - 1):
            scores = []
            for factor in (1 + 1e-5, 1 - 1e-5):
                weight = model.encoder.embedding.weight
                before = weight.detach().clone()
                with torch.no_grad():
                    weight[read[position]] *= factor
                    batch = encoded.batch(np.array([row]), CPU)
                    scores.append(LOSSES[loss].log_odds(model(batch.tokens, batch.lengths)).item())
                    weight.copy_(before)
            assert found[number][position] == pytest.approx((scores[0] - scores[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_errors_are_ranked_by_confidence_and_one_half_counts_as_positive() -> None:
    labels, odds = np.array([0, 1, 0, 1, 0, 1]), np.array([0.0, -2.0, 3.0, 4.0, -5.0, 0.0])
    assert list(most_confident_errors(labels, odds)) == [2, 1, 0]
    assert list(most_confident_errors(labels, odds, most=1)) == [2]
    assert not len(most_confident_errors(labels, np.where(labels == 1, 1.0, -1.0)))


def test_a_run_keeps_its_most_confident_errors_on_validation_with_tokens_and_contributions(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    config = small.override(
        {"train.epochs": 1, "train.lr": 1e-4, "data.max_length": 6}
    )  # it learns next to nothing
    *_, finished = run(config, tmp_path, cache)
    assert isinstance(finished, Finished)
    assert finished.files["errors"] == ERRORS
    told = json.loads((tmp_path / ERRORS).read_text())
    assert (told["part"], told["method"]) == ("val", "gradient x input")
    table = pq.read_table(tmp_path / finished.files["val_predictions"]).to_pandas()
    table["sure"] = (table["probability"] - 0.5).abs()
    wrong = table[(table["probability"] >= 0.5) != (table["label"] == 1)].sort_values("sure", ascending=False)
    assert len(told["errors"]) == min(20, len(wrong))
    assert [e["probability"] for e in told["errors"]] == pytest.approx(list(wrong["probability"][:20]))
    rows = list(load_corpus(config.data, cache).val.rows)
    for error in told["errors"]:
        assert len(error["tokens"]) == len(error["contributions"]) <= 6
        assert error["row"] in rows
        assert set(error["tokens"]) <= {"[UNK]", *_words(Path(config.data.source), error["row"])}


def _words(folder: Path, row: int) -> list[str]:
    text: str = json.loads((folder / "train.jsonl").read_text().splitlines()[row])["text"]
    return text.split()
