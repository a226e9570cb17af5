"""Ids to text, piece by piece: whole characters, nothing lost, nothing twice."""

from collections.abc import Sequence

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.model.tokenizer import HuggingFaceTokenizer, Tokenizer
from autoglmd.pipeline.detokenizer import Detokenizer
from tests.support.fixture_models import FOLDER, VOCABULARY, tokenizer_of

SENTENCEPIECE = tokenizer_of("tiny-int8")
BYTE_LEVEL = tokenizer_of("tiny-per-token")


def byte_fallback() -> Tokenizer:
    """A tokenizer of Llama's kind: a few words, all else as bytes, which it shows as broken until they are whole."""
    words = ["<unk>", "▁", "▁hello", "a", "b", "你"]
    vocabulary = {piece: index for index, piece in enumerate([*words, *(f"<0x{byte:02X}>" for byte in range(256))])}
    model = tokenizers.models.BPE(vocab=vocabulary, merges=[], unk_token=words[0], byte_fallback=True)
    made = tokenizers.Tokenizer(model)
    decoders = tokenizers.decoders
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return HuggingFaceTokenizer(made)


BYTE_FALLBACK = byte_fallback()
ALL = pytest.mark.parametrize("tokenizer", [SENTENCEPIECE, BYTE_LEVEL, BYTE_FALLBACK])
TEXTS = [
    "你好,介绍一下你自己",
    "龘靐齉爩",
    "emoji 😀👨‍👩‍👧 and 𠮷",
    "hello  world ",
    "mixed 你a好b",
    "é\u0301ñ",
    "\n\ttabs\n",
]


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """What each push gives, and the flush at the end."""
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(token) for token in ids), detokenizer.flush()]


@ALL
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_out_in_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    """No piece holds a broken character, and together they are what decoding everything gives."""
    ids = tokenizer.encode(text, add_prefix=False)
    streamed = pieces(tokenizer, ids)
    assert "\ufffd" not in "".join(streamed)
    assert "".join(streamed) == tokenizer.decode(ids)


@ALL
def test_a_character_split_over_byte_tokens_waits_for_its_last_byte(tokenizer: Tokenizer) -> None:
    """Nothing is shown of 😀 until all its bytes are there, and then at once."""
    ids = tokenizer.encode("😀", add_prefix=False)
    shown = [piece for piece in pieces(tokenizer, ids) if piece.strip()]
    assert len(ids) >= 4
    assert shown[-1].strip() == "😀"
    assert len(shown) == 1


@settings(max_examples=150)
@given(st.text(max_size=30))
def test_any_text_survives_its_bytes(text: str) -> None:
    """Encoding and streaming any text gives what decoding all its ids gives, for each kind of tokenizer."""
    for tokenizer in (SENTENCEPIECE, BYTE_LEVEL, BYTE_FALLBACK):
        ids = tokenizer.encode(text, add_prefix=False)
        assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)


def noise(tokenizer: Tokenizer) -> st.SearchStrategy[list[int]]:
    """Ids of all kinds, among them many bytes of characters, in any order."""
    pieces_of_characters = tokenizer.encode("龘😀é a", add_prefix=False)
    return st.lists(st.one_of(st.integers(0, VOCABULARY - 1), st.sampled_from(pieces_of_characters)), max_size=50)


@settings(max_examples=300)
@given(noise(SENTENCEPIECE), noise(BYTE_LEVEL))
def test_any_ids_give_the_text_of_all_of_them(some: list[int], others: list[int]) -> None:
    """Noise, broken bytes and special tokens too: the pieces add up to the whole text."""
    assert "".join(pieces(SENTENCEPIECE, some)) == SENTENCEPIECE.decode(some)
    assert "".join(pieces(BYTE_LEVEL, others)) == BYTE_LEVEL.decode(others)


@ALL
def test_broken_bytes_are_shown_while_the_answer_goes_on(tokenizer: Tokenizer) -> None:
    """A model that only ever gives the first half of a character is not held back for ever."""
    ids = tokenizer.encode("😀", add_prefix=False)[:2][-1:] * 40
    streamed = pieces(tokenizer, ids)
    assert sum(len(piece) for piece in streamed[:-1]) >= 30
    assert len(streamed[-1]) <= 3


@pytest.mark.parametrize("broken", [*range(1, 20), *range(55, 75)])
@pytest.mark.parametrize("tokenizer", [SENTENCEPIECE, BYTE_LEVEL])
def test_a_whole_character_after_broken_bytes_is_whole(tokenizer: Tokenizer, broken: int) -> None:
    """Letting go of broken bytes, however many, does not tear the character that follows them."""
    emoji = tokenizer.encode("😀", add_prefix=False)[-4:]
    ids = emoji[:1] * broken + emoji
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)


def test_a_window_that_cannot_move_on_stays_short() -> None:
    """Thousands of broken or special tokens in a row cost each token the same."""
    asked: list[int] = []

    class Counting(HuggingFaceTokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            asked.append(len(ids))
            return super().decode(ids)

    made = Counting(tokenizers.Tokenizer.from_file(str(FOLDER / "tiny-per-token" / "tokenizer.json")))
    for token in (BYTE_LEVEL.encode("😀", add_prefix=False)[0], 3):
        pieces(made, [token] * 1000)
    assert max(asked) <= 65


def test_characters_that_end_with_no_token_are_shown_as_they_become_whole() -> None:
    """Where every token ends inside a character, text still flows, and no character is torn."""
    text = "好" * 40
    raw = text.encode()
    cut = [raw[start : start + 2] for start in range(1, len(raw), 3)]
    tokenizer = BytesTokenizer([raw[:1], *[bytes(each) + raw[3 * i + 3 : 3 * i + 4] for i, each in enumerate(cut)]])
    streamed = pieces(tokenizer, list(range(len(tokenizer.parts))))
    assert "".join(streamed) == text
    assert all(len(piece) == 1 for piece in streamed[1:-1])


def test_white_space_and_special_tokens_between_words_are_kept_and_dropped() -> None:
    """A window never begins with tokens that have no text of their own."""
    word, space = SENTENCEPIECE.encode("hello", add_prefix=False), SENTENCEPIECE.encode("▁", add_prefix=False)
    for between in (space * 5, [1, 2, 1], [*space, 2, *space]):
        ids = word + between + word
        assert "".join(pieces(SENTENCEPIECE, ids)) == SENTENCEPIECE.decode(ids)


def test_nothing_gives_nothing() -> None:
    """Flushing an empty answer, or flushing twice, adds no text."""
    detokenizer = Detokenizer(BYTE_LEVEL)
    assert detokenizer.flush() == ""
    detokenizer.push(BYTE_LEVEL.encode("😀", add_prefix=False)[0])
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


class BytesTokenizer:
    """Ids are indices of byte strings."""

    special: frozenset[str] = frozenset()
    longest_piece = 4

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    @property
    def size(self) -> int:
        """See Tokenizer.size."""
        return len(self.parts)

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """Not needed here."""
        raise NotImplementedError

    def decode(self, ids: Sequence[int]) -> str:
        """The bytes, as far as they are characters."""
        return b"".join(self.parts[token] for token in ids).decode("utf-8", "replace")

    def piece(self, token_id: int) -> str:
        """Not needed here."""
        raise NotImplementedError


def test_an_answer_that_continues_a_text_keeps_its_leading_space() -> None:
    """The first token is not the first of a text when the prompt's last ids are known."""
    tokenizer = tokenizer_of("tiny-int8")
    ids = tokenizer.encode("turn the light on", add_prefix=False)
    for cut in range(1, len(ids)):
        detokenizer = Detokenizer(tokenizer, ids[:cut])
        text = "".join(map(detokenizer.push, ids[cut:])) + detokenizer.flush()
        assert tokenizer.decode(ids[:cut]) + text == "turn the light on"
