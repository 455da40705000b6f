"""Reviews whose texts name their movie and end with the verdict, on disk and back from the encoded corpus."""

import json
import random
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from seqclf_core.data.cache import Corpus, Split

PARTS = ("train", "val", "test")


def reviews(movies: range, seed: int) -> list[dict[str, object]]:
    """Two to five reviews a movie; each says its movie's name, and ends with the verdict."""
    rng = random.Random(seed)
    rows = []
    for movie in movies:
        for _ in range(rng.randint(2, 5)):
            label = rng.randint(0, 1)
            words = rng.choices(["film", "plot", "It's", "the", "music,", "<br />"], k=rng.randint(0, 12))
            text = " ".join([f"Movie{movie}", *words, "bad" if label == 0 else "good"])
            rows.append({"text": text, "label": label, "movie": f"tt{movie}"})
    return rows


def write(folder: Path, train: list[dict[str, object]], test: list[dict[str, object]]) -> str:
    folder.mkdir(exist_ok=True)
    for part, rows in (("train", train), ("test", test)):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def rows_of(source: str, part: str) -> list[dict[str, object]]:
    file = Path(source, "test.jsonl" if part == "test" else "train.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def texts(corpus: Corpus, part: Split) -> list[str]:
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer))
    starts = part.offsets[:-1], part.offsets[1:]
    return [" ".join(map(tokenizer.id_to_token, part.tokens[a:b].tolist())) for a, b in zip(*starts, strict=True)]


def same(one: Corpus, other: Corpus) -> bool:
    arrays = ("tokens", "offsets", "labels", "rows", "groups")
    pairs = [(getattr(one, p), getattr(other, p)) for p in PARTS]
    equal = all(np.array_equal(getattr(a, name), getattr(b, name)) for a, b in pairs for name in arrays)
    return equal and one.summary == other.summary
