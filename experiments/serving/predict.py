"""Scores texts from the command line with a model folder: ``seqclf predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from seqclf_core.errors import UserError
from seqclf_core.inference import load_model
from seqclf_core.training.predictions import decide

AT_A_TIME = 256
"""Texts read and scored together; memory does not grow with a file's length."""


def predict(folder: Path, text: str | None, file: Path | None) -> None:
    """Print label and probability of each text.

    Args:
        folder: of the model.
        text: a text to score.
        file: a file with a text in each line; without text and file, standard input is read.

    Raises:
        UserError: if there is no text, or the model or the file cannot be read.
    """
    texts = read_texts(text, file)
    chunk = list(islice(texts, AT_A_TIME))
    if not chunk:
        raise UserError("there is no text to score: the input is empty; give one text in each line")
    model = load_model(folder)
    while chunk:
        for each, probability in zip(chunk, model.predict(chunk), strict=True):
            label = "positive" if decide(probability) else "negative"
            shown = "" if text is not None else "\t" + each[:60].replace("\t", " ")
            print(f"{label}\t{probability:.4f}{shown}", flush=True)
        chunk = list(islice(texts, AT_A_TIME))


def read_texts(text: str | None, file: Path | None) -> Iterator[str]:
    """Yield the texts to score.

    Raises:
        UserError: if there is none, or the file cannot be read as UTF-8.
    """
    if text is not None:
        if not text.strip():
            raise UserError("the text is empty; give one: make predict TEXT='...'")
        yield text
        return
    if file is None and sys.stdin.isatty():
        raise UserError("nothing to score; give TEXT='...', FILE=..., or texts on standard input")
    name = file or "standard input"
    try:
        if file:
            with file.open(encoding="utf-8") as stream:
                yield from _lines(stream)
        else:
            sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # type: ignore[union-attr]
            yield from _lines(sys.stdin)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text ({error})") from error


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield a stream's lines that hold any text, without their ends."""
    return (line.rstrip("\n") for line in stream if line.strip())
