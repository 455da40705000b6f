"""Text becomes ids: a word-level tokenizer, trained on the training part alone, kept as ``tokenizer.json``.

What a token is: a word in lower case with the apostrophes inside it ("don't"), or one punctuation mark or
symbol. Where a script writes no spaces (Chinese, Japanese, Thai, ...) each character is a token.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

PAD = 0
"""Id of what fills up a batch's rows. No text has it."""
UNK = 1
"""Id of every word outside the vocabulary."""
NAMES = ("[PAD]", "[UNK]")

MIN_COUNT = 2
"""A word seen once teaches nothing; it stands for the unknown word instead, which is thereby learned."""
BATCH = 512
"""Texts per call; an encoding takes far more memory than the ids that are kept of it."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{_UNSPACED}]]+"
_TOKEN = rf"{_WORD}(?:'{_WORD})*|[{_UNSPACED}]\p{{M}}*|\S\p{{M}}*"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Build the vocabulary: the most frequent words, equally frequent ones by their characters.

    Args:
        texts: of the training part alone; read once, never held.
        vocab_size: most ids to give, ``PAD`` and ``UNK`` among them.
    """
    counter = _tokenizer([])
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size - len(NAMES), min_frequency=MIN_COUNT, show_progress=False, special_tokens=[]
    )
    counter.train_from_iterator(map(_sound, texts), trainer)
    ids = counter.get_vocab()
    return _tokenizer(sorted(ids, key=ids.__getitem__))


def encode(
    tokenizer: Tokenizer, texts: Iterable[str]
) -> tuple[NDArray[np.uint16] | NDArray[np.int32], NDArray[np.int64]]:
    """Turn texts into one flat row of ids. A text without a single token is one unknown word.

    Args:
        tokenizer: from ``train_tokenizer``, or loaded from its ``tokenizer.json``.
        texts: N of them; read once, never held.

    Returns:
        The ids of all texts, one after the other, and (N+1,) offsets: those of text n are
        ``tokens[offsets[n]:offsets[n + 1]]``, at least one.
    """
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.int32
    tokens = [np.empty(0, dtype)]
    lengths = [0]
    for batch in _batches(map(_sound, texts)):
        ids = [encoding.ids or [UNK] for encoding in tokenizer.encode_batch_fast(batch)]
        tokens.append(np.fromiter(chain.from_iterable(ids), dtype))
        lengths += map(len, ids)
    return np.concatenate(tokens), np.cumsum(lengths, dtype=np.int64)


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


def _sound(text: str) -> str:
    """Return the text with surrogate pairs joined; one without its other half becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, BATCH)):
        yield batch
