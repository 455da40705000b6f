"""Text in, probability out: ``Classifier.load(folder).predict(texts)``, and the command behind ``make predict``.

python -m experiments.serving.predict --text "A superb film."
python -m experiments.serving.predict --file reviews.txt        # one review per line
cat reviews.txt | python -m experiments.serving.predict
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TextIO

import numpy as np
import numpy.typing as npt
import tyro

from experiments.serving.selection import best_model, champion
from seqclf_core.cli import run_command
from seqclf_core.errors import SavedError, UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from seqclf_core.config import RunConfig
    from seqclf_core.models import SequenceClassifier

AT_A_TIME = 256
"""Texts read and scored together; memory does not grow with a file's length."""


class Classifier:
    """A trained classifier and its tokenizer."""

    def __init__(self, model: "SequenceClassifier", tokenizer: "Tokenizer", config: "RunConfig") -> None:
        self._model, self._tokenizer, self._config = model, tokenizer, config

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model folder.

        Raises:
            SavedError: if a part of it is missing, cut, or not what it should be; names the part.
        """
        from tokenizers import Tokenizer

        from seqclf_core.training.checkpoint import TOKENIZER, load_classifier

        model, config = load_classifier(folder)
        path = folder / TOKENIZER
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more exact
            raise SavedError(f"{path} cannot be read as a tokenizer: {error}") from error
        size, rows = tokenizer.get_vocab_size(), model.encoder.embedding.num_embeddings
        if size > rows:
            raise SavedError(f"{path} has {size} tokens, but the model next to it knows {rows}")
        return cls(model, tokenizer, config)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive: (N,) in [0, 1].

        Computed in float32; a text of which no word is known still gets the model's answer to the unknown word.
        """
        import torch

        from seqclf_core.data.batches import EncodedSplit
        from seqclf_core.data.cache import Part
        from seqclf_core.data.vocabulary import encode
        from seqclf_core.losses import LOSSES
        from seqclf_core.training.evaluation import log_odds

        if not texts:
            return np.empty(0)
        tokens, offsets = encode(self._tokenizer, texts)
        count = len(texts)
        part = Part(tokens, offsets, np.zeros(count, np.int64), np.arange(count), None)
        loss = LOSSES[self._config.model.loss]
        odds = log_odds(self._model, loss, EncodedSplit(part, self._config.data), torch.device("cpu"))
        return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class Options:
    """Say how likely a review is positive, by the champion or the best finished model."""

    text: str | None = None
    """A review."""
    file: Path | None = None
    """A file with one review per line; without text and file, standard input is read."""
    runs: Path = Path("runs")
    """The folder with all that is recorded."""
    name: str | None = None
    """Of a study or experiment; none: the champion if one is registered, else the best of all on whole data."""
    model: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A model folder to use instead."""


def chosen(options: Options) -> Path:
    """Return the model folder that options ask for.

    Raises:
        UserError: if there is none; says what to do.
    """
    if options.model:
        return options.model
    registered = champion(options.runs) if options.name is None else None
    return registered or best_model(options.runs, options.name)


def lines(stream: TextIO) -> Iterator[str]:
    """Yield a stream's lines that hold any text, without their ends."""
    return (line.rstrip("\n") for line in stream if line.strip())


def texts_of(options: Options) -> Iterator[str]:
    """Yield the texts that were asked about.

    Raises:
        UserError: if there is none, or the file cannot be read as UTF-8.
    """
    if options.text is not None:
        if not options.text.strip():
            raise UserError("the text is empty; give a review: make predict TEXT='...'")
        yield options.text
        return
    if options.file is None and sys.stdin.isatty():
        raise UserError("nothing to score; give TEXT='...', FILE=..., or reviews on standard input")
    name = options.file or "standard input"
    try:
        if options.file:
            with options.file.open(encoding="utf-8") as stream:
                yield from lines(stream)
        else:
            sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # type: ignore[union-attr]
            yield from lines(sys.stdin)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text ({error})") from error


def main() -> int:
    """Print label and probability of each text."""
    options = tyro.cli(Options, prog="python -m experiments.serving.predict")
    folder = chosen(options)
    texts = texts_of(options)
    first = list(islice(texts, AT_A_TIME))
    classifier = Classifier.load(folder)
    print(f"model: {folder}", file=sys.stderr)
    chunk = first
    while chunk:
        for text, chance in zip(chunk, classifier.predict(chunk), strict=True):
            label = "positive" if chance >= 0.5 else "negative"
            shown = "" if options.text is not None else "\t" + text[:60].replace("\t", " ")
            print(f"{label}\t{chance:.4f}{shown}", flush=True)
        chunk = list(islice(texts, AT_A_TIME))
    if not first:
        raise UserError("there is no text to score")
    return 0


if __name__ == "__main__":
    run_command(main)
