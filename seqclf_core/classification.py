"""The classifier as a task: a label per text, scored on validation and test, kept as a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from tokenizers import Tokenizer
from torch import Tensor

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import Batch, EncodedSplit
from seqclf_core.data.cache import Corpus, Split
from seqclf_core.data.soft_labels import joined, soft_split
from seqclf_core.errors import UserError
from seqclf_core.events import DataSummary
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.places import located
from seqclf_core.training.checkpoint import load_tagger, load_tokenizer, save_model
from seqclf_core.training.contributions import ERRORS, write_errors
from seqclf_core.training.device import pick_device, set_computation
from seqclf_core.training.evaluation import log_odds
from seqclf_core.training.metrics import measure, named, named_best
from seqclf_core.training.predictions import decide, write_predictions
from seqclf_core.training.tally import Tally
from seqclf_core.training.task import Task
from seqclf_core.vectors import VECTORS, shared_tokens, start_from_vectors

MODEL = "model"
"""Model folder within the run's own."""


class ClassificationTask(Task[SequenceClassifier]):
    """Decide a label per text."""

    def __init__(
        self, config: RunConfig, model: SequenceClassifier, corpus: Corpus, learned: tuple[Split, DataSummary],
        device: torch.device,
    ) -> None:  # fmt: skip
        split, data = learned
        train, val = EncodedSplit(split, config.data), EncodedSplit(corpus.val, config.data)
        super().__init__(config, model, data, train, val, device)
        self.corpus = corpus
        self.tokenizer = corpus.tokenizer.read_bytes()  # while it is there: `make clean` may free the cache
        self.form = LOSSES[config.model.loss]

    @classmethod
    def of(cls, config: RunConfig, corpus: Corpus, folder: Path = Path()) -> Self:
        """Make the model of these settings for these data.

        Args:
            config: what to do.
            corpus: the encoded data.
            folder: the run's own, beside which others lie that the settings may name.

        Raises:
            UserError: if the device that was asked for is not there, or the tagger to start from does not fit.
        """
        device = torch.device(pick_device(config.train.device))
        there = located(config, folder)
        model = new_classifier(there, corpus)
        set_computation(model.encoder, config, device)
        return cls(config, model, corpus, learned_from(there, corpus), device)

    def loss(self, batch: Batch) -> tuple[Tensor, Tally]:
        """Return the loss summed over the texts of a batch, and its tally."""
        logits = self.model(batch.tokens, batch.lengths)
        loss = self.form.sums(logits, batch.labels)
        # A target may be a probability: right is the decision that it comes to.
        correct = (self.form.decision(logits.detach()).bool() == decide(batch.labels)).sum()
        return loss, Tally(loss.detach().double(), correct, len(batch.labels))

    def evaluate(self) -> dict[str, float]:
        """Score the validation split by every metric."""
        return measure(self.val.labels, log_odds(self.model, self.form, self.val, self.device))

    def finish(self, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        """Keep the model, score validation again and test for once; keep both predictions, and what misled it.

        A validation split that was learned from is not scored.
        """
        save_model(folder / MODEL, self.model, self.config, self.tokenizer, tags=[])
        files, scores = {"model": MODEL}, {}
        splits = {"val": self.corpus.val, "test": self.corpus.test}
        if self.config.train.learn_from == "train_and_val":
            del splits["val"]
        for name, split in splits.items():
            encoded = EncodedSplit(split, self.config.data)
            odds = log_odds(self.model, self.form, encoded, self.device)
            files[f"{name}_predictions"] = f"predictions/{name}.parquet"
            write_predictions(folder / files[f"{name}_predictions"], split, odds)
            scores[name] = measure(split.labels, odds)
            if name == "val":  # of the test split nobody should learn what to change
                files["errors"] = ERRORS
                write_errors(
                    folder / ERRORS, self.model, self.form, split, encoded, odds, self.tokenizer, self.device
                )
        best = named_best(scores["val"]) if "val" in scores else {}
        return {**best, **named("test", scores["test"])}, files


def learned_from(config: RunConfig, corpus: Corpus) -> tuple[Split, DataSummary]:
    """Return what a classifier of these settings learns from, and what is known of its data.

    Raises:
        DataError: if the texts with soft labels cannot be used.
    """
    splits, data = [corpus.train], corpus.summary
    sizes = dict(data.sizes)
    if config.train.learn_from == "train_and_val":
        splits.append(corpus.val)
        sizes["train"] += sizes.pop("val")
    if config.train.soft_labels is not None:
        splits.append(soft_split(Path(config.train.soft_labels), corpus))
        sizes["soft"] = len(splits[-1].labels)
        sizes["train"] += sizes["soft"]
    return (joined(splits) if len(splits) > 1 else splits[0]), data.model_copy(update={"sizes": sizes})


def new_classifier(config: RunConfig, corpus: Corpus) -> SequenceClassifier:
    """Make a classifier with initial weights: of a tagger's encoder or of word vectors where the settings say so.

    Raises:
        UserError: if the tagger or the vectors do not fit.
    """
    vocab_size = corpus.summary.vocab_size
    if config.model.init_from is None:
        return SequenceClassifier(config.model, vocab_size, config.seed_of("init"))
    folder = Path(config.model.init_from)
    tokenizer = Tokenizer.from_str(corpus.tokenizer.read_text(encoding="utf-8"))
    if (folder / VECTORS).exists():
        model = SequenceClassifier(config.model, vocab_size, config.seed_of("init"))
        start_from_vectors(model.encoder, folder, tokenizer)
        return model
    tagger, learned, _ = load_tagger(folder)
    if learned.data.reading != config.data.reading:
        raise UserError(
            f"model.init_from={folder}: that tagger reads {learned.data.reading}, this model "
            f"{config.data.reading}; set data.reading={learned.data.reading}, or start from another tagger"
        )
    shared = shared_tokens(load_tokenizer(folder, tagger), tokenizer)
    try:
        return SequenceClassifier.from_tagger(tagger, config.model, vocab_size, config.seed_of("init"), shared)
    except ValueError as error:
        raise UserError(f"model.init_from={folder}: {error}") from error
