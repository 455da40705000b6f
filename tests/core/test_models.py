"""What the models compute, against torch's own packed LSTM; and that padding and neighbours change nothing."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqclf_core.config import ModelConfig
from seqclf_core.data.vocabulary import PAD
from seqclf_core.losses import LOSSES
from seqclf_core.models import POOLINGS, Attention, SequenceClassifier, SequenceTagger
from seqclf_core.randomness import generators

RIGHT_POOLINGS = sorted(POOLINGS.keys() - {"last_position"})
VOCAB = 50


def reviews(lengths: list[int], width: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.full((len(lengths), width or max(lengths)), PAD)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(2, VOCAB, (length,), generator=generator)
    return tokens, torch.tensor(lengths)


def classifier(pooling: str, **settings: object) -> SequenceClassifier:
    config = ModelConfig.model_validate({"embed_dim": 12, "hidden_dim": 8, "pooling": pooling, **settings})
    return SequenceClassifier(config, VOCAB, seed=3).eval()


def packed_reference(model: SequenceClassifier, config: ModelConfig, tokens: Tensor, lengths: Tensor) -> Tensor:
    """The same weights in torch's own packed LSTM, pooled one review at a time."""
    lstm = nn.LSTM(config.embed_dim, config.hidden_dim, config.num_layers, batch_first=True,
                   bidirectional=config.bidirectional)  # fmt: skip
    weights = {}
    for layer, directions in enumerate(model.encoder.lstms):
        for direction, one in enumerate(directions):
            for name, value in one.named_parameters():
                weights[name.replace("_l0", f"_l{layer}" + "_reverse" * direction)] = value
    lstm.load_state_dict(weights)
    packed = pack_padded_sequence(model.encoder.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
    outputs, (final, _) = lstm(packed)
    states, _ = pad_packed_sequence(outputs, batch_first=True)
    pooled = []
    for row, length in enumerate(lengths.tolist()):
        real = states[row, :length]
        directions = 2 if config.bidirectional else 1
        features = {
            "last": torch.cat([final[layer - directions, row] for layer in range(directions)]),
            "mean": real.mean(dim=0),
            "max": real.amax(dim=0),
        }
        features["mean_max"] = torch.cat([features["mean"], features["max"]])
        features["concat"] = torch.cat([features["last"], features["mean_max"]])
        if isinstance(model.pool, Attention):
            weights = (real @ model.pool.score.weight[0]).softmax(dim=0)
            features["attention"] = (weights[:, None] * real).sum(dim=0)
        pooled.append(features[config.pooling])
    return model.head(torch.stack(pooled))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", RIGHT_POOLINGS)
def test_logits_equal_a_packed_lstm(pooling: str, bidirectional: bool, layers: int) -> None:
    config = ModelConfig(
        embed_dim=12, hidden_dim=8, pooling=pooling, bidirectional=bidirectional, num_layers=layers
    )
    model = SequenceClassifier(config, VOCAB, seed=3).eval()
    if isinstance(model.pool, Attention):
        nn.init.normal_(model.pool.score.weight, generator=torch.Generator().manual_seed(0))
    tokens, lengths = reviews([7, 1, 30, 12, 2])
    expected = packed_reference(model, config, tokens, lengths)
    torch.testing.assert_close(model(tokens, lengths), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", RIGHT_POOLINGS)
def test_neither_padding_nor_other_rows_change_a_score(pooling: str, bidirectional: bool) -> None:
    model = classifier(pooling, bidirectional=bidirectional)
    tokens, lengths = reviews([5])
    wider = nn.functional.pad(tokens, (0, 9), value=PAD)
    others, other_lengths = reviews([14, 3], seed=1)
    alone = model(tokens, lengths)
    torch.testing.assert_close(model(wider, lengths), alone, atol=1e-5, rtol=0)
    together = model(torch.cat([wider, others]), torch.cat([lengths, other_lengths]))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


def test_last_position_does_read_the_padding() -> None:
    model = classifier("last_position")
    tokens, lengths = reviews([5])
    wider = nn.functional.pad(tokens, (0, 9), value=PAD)
    assert (model(wider, lengths) - model(tokens, lengths)).abs().max() > 1e-4


def test_one_logit_equals_two_when_its_weights_are_their_difference() -> None:
    two, one = classifier("last", loss="cross_entropy"), classifier("last", loss="bce")
    one.encoder.load_state_dict(two.encoder.state_dict())
    with torch.no_grad():
        one.head.weight.copy_(two.head.weight[1:] - two.head.weight[:1])
        one.head.bias.copy_(two.head.bias[1:] - two.head.bias[:1])
    tokens, lengths = reviews([5, 9, 2])
    labels = torch.tensor([1, 0, 1])
    bce, cross_entropy = LOSSES["bce"], LOSSES["cross_entropy"]
    logit, logits = one(tokens, lengths), two(tokens, lengths)
    torch.testing.assert_close(bce.log_odds(logit), cross_entropy.log_odds(logits))
    torch.testing.assert_close(bce.sums(logit, labels), cross_entropy.sums(logits, labels))
    assert bce.decision(logit).tolist() == cross_entropy.decision(logits).tolist()
    assert cross_entropy.decision(logits).tolist() == logits.argmax(dim=1).tolist()


def test_forget_gates_start_open() -> None:
    for name, bias in classifier("last", num_layers=2).encoder.lstms.named_parameters():
        if "bias_ih" in name:
            assert bias.chunk(4)[1].tolist() == [1.0] * 8
            assert bias.chunk(4)[0].tolist() == [0.0] * 8


def test_the_same_seed_shares_the_encoder_whatever_pooling_and_loss() -> None:
    first, second = classifier("last", loss="bce"), classifier("mean_max", loss="cross_entropy")
    for name, weights in first.encoder.state_dict().items():
        assert torch.equal(weights, second.encoder.state_dict()[name])
    other = SequenceClassifier(ModelConfig(embed_dim=12, hidden_dim=8), VOCAB, seed=4)
    assert not torch.equal(other.encoder.embedding.weight, first.encoder.embedding.weight)


def test_the_same_seed_drops_the_same_words_whatever_pooling_and_loss() -> None:
    tokens, lengths = reviews([6, 9])
    states = []
    for pooling, loss in (("last", "bce"), ("mean_max", "cross_entropy")):
        model = classifier(pooling, loss=loss).train()
        model.use_generators(generators(7, torch.device("cpu")))
        model(tokens, lengths)  # the head draws too, more numbers in one case than in the other
        states.append(model.encoder(tokens, lengths))
    assert torch.equal(states[0], states[1])


def test_embedding_dropout_shares_one_mask_over_time() -> None:
    model = classifier("last", embed_dropout=0.5, word_dropout=0.0).train()
    seen = []
    model.encoder.lstms[0][0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(*reviews([40, 40]))
    dropped = seen[0] == 0  # (B, T, E)
    assert torch.equal(dropped.all(dim=1), dropped.any(dim=1))
    assert 0 < dropped.float().mean() < 1


def test_word_dropout_spares_padding_and_evaluation_drops_nothing() -> None:
    model = classifier("mean", word_dropout=0.9)
    tokens, lengths = reviews([5, 9])
    assert torch.equal(model(tokens, lengths), model(tokens, lengths))
    seen = []
    model.encoder.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.train()(tokens, lengths)
    assert torch.equal(seen[0] == PAD, tokens == PAD)
    assert (seen[0] != tokens).any()


def test_from_tagger_carries_the_encoder_and_nothing_else() -> None:
    config = ModelConfig(embed_dim=12, hidden_dim=8)
    tagger = SequenceTagger(config, VOCAB, tags=5, seed=11)
    model = SequenceClassifier.from_tagger(tagger, config, VOCAB, seed=3)
    for name, weights in tagger.encoder.state_dict().items():
        assert torch.equal(weights, model.encoder.state_dict()[name])
    assert torch.equal(model.head.weight, classifier("last").head.weight)


@pytest.mark.parametrize("layers", [1, 2])
def test_from_tagger_carries_both_directions(layers: int) -> None:
    config = ModelConfig(embed_dim=12, hidden_dim=8, bidirectional=True, num_layers=layers)
    tagger = SequenceTagger(config, VOCAB, tags=5, seed=11).eval()
    model = SequenceClassifier.from_tagger(tagger, config, VOCAB, seed=3).eval()
    tokens, lengths = reviews([7, 1, 12])
    assert torch.equal(model.encoder(tokens, lengths), tagger.encoder(tokens, lengths))
    assert model.encoder(tokens, lengths).shape[2] == 2


def test_from_tagger_matches_vocabularies_by_token() -> None:
    config = ModelConfig(embed_dim=12, hidden_dim=8)
    tagger = SequenceTagger(config, 30, tags=5, seed=11)
    scratch = SequenceClassifier(config, VOCAB, seed=3).encoder.embedding.weight
    shared = torch.tensor([[4, 40], [5, 2]])
    carried = SequenceClassifier.from_tagger(tagger, config, VOCAB, 3, shared).encoder.embedding.weight
    assert torch.equal(carried[[40, 2]], tagger.encoder.embedding.weight[[4, 5]])
    untouched = [row for row in range(VOCAB) if row not in (40, 2)]
    assert torch.equal(carried[untouched], scratch[untouched])


def test_from_tagger_refuses_another_width() -> None:
    tagger = SequenceTagger(ModelConfig(embed_dim=12, hidden_dim=6), VOCAB, tags=5)
    with pytest.raises(ValueError, match="hidden_dim"):
        SequenceClassifier.from_tagger(tagger, ModelConfig(embed_dim=12, hidden_dim=8), VOCAB)


@pytest.mark.parametrize("pooling", RIGHT_POOLINGS)
def test_bf16_stays_close_to_float32(pooling: str) -> None:
    model = classifier(pooling, bidirectional=True)
    rounded = copy.deepcopy(model)
    rounded.encoder.bf16 = True
    batch = reviews([5, 30, 12])
    scores = rounded(*batch)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, model(*batch), atol=0.03, rtol=0.05)
