"""Text becomes ids: a word-level tokenizer, trained on the training split alone, kept as ``tokenizer.json``.

What a token is: a word in lower case with the apostrophes inside it ("don't"), or one punctuation mark or
symbol. Where a script writes no spaces (Chinese, Japanese, Thai, ...) each character is a token.

All texts are divided into words once; vocabulary and ids are made of that. ASCII texts, nine in ten of IMDB's, are
divided by a few passes over their bytes, which gives the tokenizer's own words several times as fast.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

PAD = 0
"""Id of what fills up a batch's rows. No text has it."""
UNK = 1
"""Id of every word outside the vocabulary."""
NAMES = ("[PAD]", "[UNK]")

MIN_COUNT = 2
"""A word seen once teaches nothing; it stands for the unknown word instead, which is thereby learned."""
TOGETHER = 1_024
"""ASCII texts that are divided in one go: few enough that their bytes stay in the processor's cache."""

Ids = NDArray[np.uint16] | NDArray[np.int32]

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{_UNSPACED}]]+"
_TOKEN = rf"{_WORD}(?:'{_WORD})*|[{_UNSPACED}]\p{{M}}*|\S\p{{M}}*"


@dataclass(frozen=True)
class Words:
    """N texts, divided into words."""

    names: list[str]
    """The different words; the first is the empty one, which stands in texts without a single token."""
    codes: NDArray[np.int32]
    """Words of all texts, as positions in ``names``."""
    starts: NDArray[np.int64]
    """(N,) where each text begins in ``codes``."""
    lengths: NDArray[np.int64]
    """(N,) words of each text, at least one."""

    def take(self, texts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the words of these texts, one text after the other, and (n+1,) offsets of the texts in them."""
        lengths = self.lengths[texts]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return self.codes[np.repeat(self.starts[texts] - offsets[:-1], lengths) + np.arange(offsets[-1])], offsets


def split_words(texts: pa.Array | pa.ChunkedArray | Iterable[str]) -> Words:
    """Divide texts into words."""
    array = _as_array(texts)
    is_ascii = pc.string_is_ascii(array).to_numpy(zero_copy_only=False)
    positions: defaultdict[str, int] = defaultdict()
    positions.default_factory = positions.__len__
    positions[""] = 0
    codes, lengths = [], np.zeros(len(array), dtype=np.int64)

    plain = np.flatnonzero(is_ascii)
    for start in range(0, len(plain), TOGETHER):
        rows = plain[start : start + TOGETHER]
        words, lengths[rows] = _ascii_words(array.take(pa.array(rows)))
        encoded = words.dictionary_encode()
        known = np.fromiter(map(positions.__getitem__, encoded.dictionary.to_pylist()), dtype=np.int32)
        codes.append(known[encoded.indices.to_numpy()])
    others = np.flatnonzero(~is_ascii)
    tokenizer = _tokenizer([])
    for row in others:
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(array[row].as_py()))
        codes.append(np.fromiter((positions[word] for word, _ in pieces), dtype=np.int32))
        lengths[row] = len(pieces)

    order = np.concatenate([plain, others])
    starts = np.empty_like(lengths)
    starts[order] = np.cumsum(lengths[order]) - lengths[order]
    codes.append(np.zeros(1, dtype=np.int32))
    flat = np.concatenate(codes)
    empty = lengths == 0
    starts[empty], lengths[empty] = len(flat) - 1, 1
    return Words(list(positions), flat, starts, lengths)


def build_tokenizer(names: Sequence[str], codes: NDArray[np.int32], vocab_size: int) -> Tokenizer:
    """Build the vocabulary: the most frequent words, equally frequent ones by their characters.

    Args:
        names: the different words, the empty one first.
        codes: every word of the training split, as a position in ``names``.
        vocab_size: most ids to give, ``PAD`` and ``UNK`` among them.
    """
    counts = np.bincount(codes, minlength=len(names))
    counts[0] = 0
    frequent = np.flatnonzero(counts >= MIN_COUNT).tolist()
    frequent.sort(key=lambda word: (-counts[word], names[word]))
    return _tokenizer(names[word] for word in frequent[: vocab_size - len(NAMES)])


def word_ids(tokenizer: Tokenizer, names: Sequence[str]) -> Ids:
    """Return the id of each of these words."""
    vocab = tokenizer.get_vocab()
    ids = [vocab.get(name, UNK) for name in names]
    return np.array(ids, np.uint16) if len(vocab) <= 2**16 else np.array(ids, np.int32)


def train_tokenizer(texts: pa.Array | Iterable[str], vocab_size: int) -> Tokenizer:
    """Build the vocabulary of these texts, ``vocab_size`` ids at most, ``PAD`` and ``UNK`` among them."""
    words = split_words(texts)
    codes, _ = words.take(np.arange(len(words.lengths)))
    return build_tokenizer(words.names, codes, vocab_size)


def encode(tokenizer: Tokenizer, texts: pa.Array | Iterable[str]) -> tuple[Ids, NDArray[np.int64]]:
    """Turn texts into one flat row of ids. A text without a single token is one unknown word.

    Args:
        tokenizer: from ``train_tokenizer``, or loaded from its ``tokenizer.json``.
        texts: N of them.

    Returns:
        The ids of all texts, one after the other, and (N+1,) offsets: those of text n are
        ``tokens[offsets[n]:offsets[n + 1]]``, at least one.
    """
    words = split_words(texts)
    codes, offsets = words.take(np.arange(len(words.lengths)))
    return word_ids(tokenizer, words.names)[codes], offsets


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where each token of a text begins and ends in it, whatever the vocabulary.

    >>> word_spans("Not good<br />at ALL!")
    [(0, 3), (4, 8), (14, 16), (17, 20), (20, 21)]
    """
    offsets: list[tuple[int, int]] = _tokenizer([]).encode(text).offsets
    return offsets


def read_tokenizer(content: bytes) -> Tokenizer:
    """Build a tokenizer from a ``tokenizer.json``, of which nothing but the words is taken.

    Another one could divide texts in ways that take for ever or make them a thousand times as long: whatever does
    not describe this module's own rules is refused.

    Raises:
        ValueError: if it is not one of ours, or its ids are not 0, 1, 2, ... (or an error of reading JSON).
    """
    told, ours = json.loads(content), json.loads(_tokenizer([]).to_str())
    vocab = told["model"].pop("vocab")
    del ours["model"]["vocab"]
    if told != ours:
        raise ValueError("it does not divide texts as this version does")
    words = sorted(vocab, key=vocab.__getitem__)
    if [vocab[word] for word in words] != list(range(len(words))) or words[: len(NAMES)] != list(NAMES):
        raise ValueError("its ids are not those of one word after the other")
    return _tokenizer(words[len(NAMES) :])


def _tokenizer(words: Iterable[str]) -> Tokenizer:
    # PAD and UNK are words of the model, not "special tokens": those are looked for in the text, where a
    # review that says "[PAD]" would then be padding.
    vocab = {word: id_ for id_, word in enumerate((*NAMES, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=NAMES[UNK]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"<br\s*/?>|\p{Cc}"), " "),  # HTML breaks, control characters
            normalizers.Replace(Regex(r"\p{Cf}"), ""),  # invisible: soft hyphen, joiners, byte order mark
            normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"),
            normalizers.NFC(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_TOKEN), behavior="removed", invert=True)
    return tokenizer


_LOWER = bytes(range(256)).lower()
_BREAK = re.compile(rb"<br[ \t\n\v\f\r]*/?>")
_SPACE, _SYMBOL, _LETTER, _APOSTROPHE = range(4)
_KINDS = bytes(
    _LETTER if chr(byte).isalnum() else _APOSTROPHE if byte == 0x27 else _SYMBOL if 0x20 < byte < 0x7F else _SPACE
    for byte in range(128)
) + bytes(128)  # fmt: skip


def _ascii_words(texts: pa.LargeStringArray) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """Divide ASCII texts: all words, one after the other, and (N,) how many each text has."""
    # Behind each text a control character, so that no word and no line break reaches into the next one.
    ended = pc.binary_join_element_wise(texts, *pa.array(["", "\0"], pa.large_string()))
    offsets = np.frombuffer(ended.buffers()[1], np.int64)[ended.offset : ended.offset + len(ended) + 1]
    lowered = ended.buffers()[2][offsets[0] : offsets[-1]].to_pybytes().translate(_LOWER)
    content = _BREAK.sub(lambda found: b" " * len(found[0]), lowered)
    kinds = np.frombuffer(content.translate(_KINDS), np.uint8)
    solid = kinds != _SPACE
    in_word = kinds == _LETTER
    in_word[1:-1] |= (kinds[1:-1] == _APOSTROPHE) & in_word[:-2] & in_word[2:]
    begins = solid.copy()
    begins[1:] &= ~(in_word[1:] & in_word[:-1])
    counts = np.diff(np.searchsorted(np.flatnonzero(begins), offsets - offsets[0]))
    characters = np.frombuffer(content, np.uint8)[solid]
    bounds = np.append(np.flatnonzero(begins[solid]), len(characters))
    array = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(characters))
    return array, counts


def _as_array(texts: pa.Array | pa.ChunkedArray | Iterable[str]) -> pa.LargeStringArray:
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if isinstance(texts, pa.Array):
        return texts
    texts = list(texts)
    try:
        return pa.array(texts, pa.large_string())
    except (UnicodeEncodeError, pa.ArrowException):
        return pa.array(map(_sound, texts), pa.large_string())


def _sound(text: str) -> str:
    """Return the text with surrogate pairs joined; one without its other half becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
