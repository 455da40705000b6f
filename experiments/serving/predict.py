"""Text in, probability out: ``Classifier.load(folder).predict(texts)``, and the command behind ``make predict``.

python -m experiments.serving.predict --text "A superb film."
python -m experiments.serving.predict --file reviews.txt        # one review per line
cat reviews.txt | python -m experiments.serving.predict
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import tyro

from experiments.serving.choosing import best_model, champion
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    pass

AT_A_TIME = 256
"""Texts read and scored together; memory does not grow with a file's length."""


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
    from seqclf_core.inference import Classifier  # torch: seconds, and not before something is to be scored

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
