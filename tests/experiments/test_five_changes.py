"""The five changes are all there is between a tagger and a classifier, and what is shown is what is computed."""

from pathlib import Path

import pytest
import torch

from experiments.five_changes import classifier, five_changes, tagger
from seqclf_core.config import ModelConfig
from seqclf_core.data.tagged import TAGS
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier, SequenceTagger
from seqclf_core.tagging import NO_TAG, tag_loss

TOKENS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 0, 0, 0], [6, 5, 3, 0, 0]])
LENGTHS = torch.tensor([5, 2, 3])
CONFIGS = [
    ModelConfig(embed_dim=6, hidden_dim=5, head_dropout=0.0, bidirectional=each, num_layers=layers)
    for each, layers in ((False, 1), (True, 2))
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_first_is_the_tagger(config: ModelConfig) -> None:
    model = SequenceTagger(config, 10, len(TAGS), seed=0).eval()
    answers = [["DET", "NOUN", "VERB", "ADV", "PUNCT"], ["PRON", "VERB"], ["DET", "ADJ", "NOUN"]]
    logits, loss, probabilities = tagger(model.encoder, TOKENS, LENGTHS, answers)
    expected = model(TOKENS, LENGTHS)
    tags = torch.full(TOKENS.shape, NO_TAG)
    for row, names in enumerate(answers):
        tags[row, : len(names)] = torch.tensor([TAGS.index(name) for name in names])
    torch.testing.assert_close(logits, expected[tags != NO_TAG])
    torch.testing.assert_close(loss, tag_loss(expected, tags) / LENGTHS.sum())
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(10))
    assert torch.equal(probabilities.argmax(dim=1), expected.argmax(dim=2)[tags != NO_TAG])


@pytest.mark.parametrize("config", CONFIGS)
def test_the_second_is_the_classifier(config: ModelConfig) -> None:
    model = SequenceClassifier(config, 10, seed=0).eval()
    logits, loss, probabilities = classifier(model.encoder, TOKENS, LENGTHS, [1.0, 0.0, 1.0])
    expected, bce = model(TOKENS, LENGTHS), LOSSES["bce"]
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(loss, bce.sums(expected, torch.tensor([1, 0, 1])) / 3)
    torch.testing.assert_close(probabilities[:, 0], bce.log_odds(expected).sigmoid())


def test_the_same_seed_shares_the_encoder() -> None:
    for config in CONFIGS:
        first, second = SequenceTagger(config, 10, len(TAGS), seed=0), SequenceClassifier(config, 10, seed=0)
        weights = second.encoder.state_dict()
        assert all(torch.equal(each, weights[name]) for name, each in first.encoder.state_dict().items())


def test_five_lines_differ_and_nothing_else() -> None:
    lines = five_changes().splitlines()
    old, new = ([line[2:] for line in lines if line[0] in kind] for kind in (" -", " +"))
    assert len(old) == len(new) == 8
    changed = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
    words = [
        ("all real states", "last real state"),
        ("len(TAGS)", "outputs=1"),
        ("TAGS.index", "no target vocabulary"),
        ("CrossEntropyLoss", "BCEWithLogitsLoss"),
        ("softmax", "sigmoid"),
    ]
    assert len(changed) == len(words) == 5
    for (before, after), (left, right) in zip(changed, words, strict=True):
        assert left in before
        assert right in after


def test_the_readme_shows_the_same() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    _, marker, after = text.partition("<!-- five changes -->")
    assert not marker or after.lstrip().startswith(f"```diff\n{five_changes()}\n```")
