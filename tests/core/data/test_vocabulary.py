"""Text to ids: what a token is, that every text has one, and that the same texts give the same ids."""

import random
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from seqclf_core.data import vocabulary
from seqclf_core.data.vocabulary import PAD, UNK, encode, train_tokenizer


def words(text: str) -> list[str]:
    """The tokens of a text, by a tokenizer that knows them all."""
    tokenizer = train_tokenizer([text] * vocabulary.MIN_COUNT, 10_000)
    tokens, _ = encode(tokenizer, [text])
    return [tokenizer.id_to_token(int(token)) for token in tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's great, isn't it?", "it's great , isn't it ?"),
        ("I don’t say ‘no’.", "i don't say ‘ no ' ."),
        ("'quoted' rock'n'roll o'clock' ''", "' quoted ' rock'n'roll o'clock ' ' '"),
        ("One.<br /><br />Two<br>three<BR/>four", "one . two three four"),
        ("8/10 well-made, _so_ *good*...", "8 / 10 well - made , _ so _ * good * . . ."),
        ("Crème Brûlée in the ΚΑΛΗΜΕΡΑ café", "crème brûlée in the καλημερα café"),
        ("Привет, мир! שלום مرحبا", "привет , мир ! שלום مرحبا"),
        ("हिन्दी में किताब", "हिन्दी में किताब"),
        ("한국어 문장입니다.", "한국어 문장입니다 ."),
        ("今天天气好abc。", "今 天 天 气 好 abc 。"),
        ("カタカナとkanji字", "カ タ カ ナ と kanji 字"),
        ("ภาษาไทยที่", "ภ า ษ า ไ ท ย ที่"),
        ("a\x00b\tc\u00a0d\u3000e\u2028f", "a b c d e f"),
        ("co\u00adopera\u200btion \ufeffend", "cooperation end"),
        ("❤️ 👍", "❤️ 👍"),
        ("[PAD] [UNK]", "[ pad ] [ unk ]"),
    ],
)
def test_what_a_token_is(text, expected):
    assert words(text) == expected.split(" ")


def test_case_and_composition_make_no_difference():
    text = "Crème brûlée à la carte, Ǆ ǰ Ångström"
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == words(text)
        assert words(unicodedata.normalize(form, text.upper())) == words(text.upper())


def test_tokens_stay_what_they_are_and_hold_no_space():
    rng = random.Random(0)
    alphabet = "aZé'’-.!5_ \t\n今カกา́ß\u200d\u00ad<br/>😀"
    for _ in range(50):
        tokens = words("x" + "".join(rng.choices(alphabet, k=60)))
        assert not any(character.isspace() for token in tokens for character in token)
        assert words(" ".join(tokens)) == tokens


@pytest.mark.parametrize(
    "text", ["", "   ", "\x00\x1f", "\u200b\u00ad", "<br />", "unheard", "\ud800", "a" * 10**5]
)
def test_every_text_has_a_token(text):
    tokenizer = train_tokenizer(["good film", "good film"], 100)
    tokens, offsets = encode(tokenizer, ["good", text, "film"])
    assert tokens[offsets[1] : offsets[2]].tolist() == [UNK]
    assert [tokenizer.id_to_token(int(tokens[n])) for n in (0, -1)] == ["good", "film"]


def test_surrogates_are_joined_or_replaced():
    assert words("so \ud83d\ude00 good\udcff!") == ["so", "😀", "good", "\ufffd", "!"]


def test_padding_never_comes_from_a_text():
    texts = ["[PAD] <pad> [pad] PAD \x00 pad"] * 2
    tokenizer = train_tokenizer(texts, 100)
    tokens, _ = encode(tokenizer, texts)
    assert PAD not in tokens
    assert tokenizer.token_to_id("[PAD]") == PAD
    assert tokenizer.token_to_id("[UNK]") == UNK


def test_frequent_words_first_and_ties_in_order_whatever_the_order_of_texts():
    texts = ["pear fig", "fig pear", "kiwi apple", "apple kiwi", "date date date", "once"]
    trained = [train_tokenizer(order, 5).to_str() for order in (texts, texts[::-1], [*texts[3:], *texts[:3]])]
    assert len(set(trained)) == 1
    vocab = Tokenizer.from_str(trained[0]).get_vocab()
    assert sorted(vocab, key=vocab.get) == ["[PAD]", "[UNK]", "date", "apple", "fig"]


def test_a_word_seen_once_stands_for_the_unknown():
    tokenizer = train_tokenizer(["good film", "good plot"], 100)
    assert encode(tokenizer, ["good film"])[0].tolist() == [tokenizer.token_to_id("good"), UNK]


def test_parts_encode_as_the_whole_and_a_saved_tokenizer_as_itself(tmp_path):
    rng = random.Random(1)
    texts = [
        " ".join(rng.choices(["good", "bad", "film", "!", "today"], k=rng.randint(0, 9))) for _ in range(1200)
    ]
    tokenizer = train_tokenizer(iter(texts), 100)
    tokens, offsets = encode(tokenizer, iter(texts))
    assert offsets.dtype == np.int64
    assert (np.diff(offsets) >= 1).all()
    assert offsets[-1] == len(tokens)

    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for n in (0, 511, 512, 1199):
        alone, _ = encode(loaded, [texts[n]])
        assert tokens[offsets[n] : offsets[n + 1]].tolist() == alone.tolist()


def test_no_texts_no_tokens():
    tokens, offsets = encode(train_tokenizer([], 16), [])
    assert (tokens.tolist(), offsets.tolist()) == ([], [0])


def test_ids_take_two_bytes_until_the_vocabulary_is_too_large():
    many = [f"w{n} w{n}" for n in range(2**16)]
    small, large = train_tokenizer(many, 2**16), train_tokenizer(many, 2**17)
    assert encode(small, many[:1])[0].dtype == np.uint16
    tokens, _ = encode(large, many)
    assert tokens.dtype == np.int32
    assert tokens.max() == large.get_vocab_size() - 1 == 2**16 + 1


def of_the_library(tokenizer, text):
    return tokenizer.encode(text).ids or [UNK]


ascii_characters = st.characters(max_codepoint=127)
ascii_texts = st.text(ascii_characters, max_size=60) | st.text("aB'<br/> \t\n\0\x1c9_.", max_size=60)
breaks = ["<br />", "<BR\t/>", "<br\x1c/>", "<b", "r>", "don't", "a''b", "'", "é", "\u00ad", "今", "\x7f", " "]
pieces = st.sampled_from(breaks)
any_texts = ascii_texts | st.text(max_size=30) | st.lists(pieces, max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(any_texts, max_size=8))
def test_ids_are_those_of_the_saved_tokenizer_whatever_the_texts(texts):
    texts = [text.encode(errors="replace").decode() for text in texts]
    tokenizer = train_tokenizer([*texts, *texts[:3]], 40)  # words that are known, and words that are not
    tokens, offsets = encode(tokenizer, texts)
    ids = [tokens[start:end].tolist() for start, end in pairwise(offsets)]
    assert ids == [of_the_library(tokenizer, text) for text in texts]
