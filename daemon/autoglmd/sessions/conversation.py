"""A conversation as a value: what was said, its tokens, and the keys and values that were computed for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import KvBlock, SessionKey

_BYTES_PER_TOKEN = 40
_BYTES_PER_LETTER = 2
_BYTES_PER_MESSAGE = 128
_BYTES_PER_MARK = 256
_BYTES_PER_SESSION = 1024


PROMPT_ROLE = "prompt"
COMPLETION_ROLE = "completion"
"""Roles under which text that is no chat is kept. A session is begun with one or the other, and stays so."""
ASSISTANT_ROLE = "assistant"


@dataclass(frozen=True, slots=True)
class ModelMark:
    """What keys, values and token ids depend on. They are of use to a model with the same mark alone.

    Attributes:
        name: the model's name; another name is another conversation's model, though the files be the same.
        version: digest of the bundle: tokenizer, graph and weights.
        tokenizer: digest of what token ids mean, which a model's next version mostly shares.
        kv: how keys and values are laid out, in words.
        kv_bytes_per_token: their size.
    """

    name: str
    version: str
    tokenizer: str
    kv: str
    kv_bytes_per_token: int


@dataclass(frozen=True, slots=True)
class TurnMark:
    """Where one question with its answer lies in a conversation.

    Attributes:
        number: 1 for the first.
        answer_start: position of the answer's first token. What lies before the first turn's was all prompt.
        end: the position behind its last.
        messages: how many there are up to its end.
    """

    number: int
    answer_start: int
    end: int
    messages: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What one request added to what was said.

    Attributes:
        number: 1 for the first. Saved a second time, because nobody knew whether it had been, it is still one.
        at: when it ended, in seconds since 1970.
        start: position of `ids[0]`; tokens that the conversation had from there on are replaced.
        ids: tokens of the prompt's new part and of the answer.
        first_message: place of `messages[0]`; messages that there were from there on are replaced.
        messages: the request's new ones and the answer; empty where the prompt was no chat.
        marks: where it lies, and where others lie that are told with it; none where nobody knows.
    """

    number: int
    at: float
    start: int
    ids: tuple[int, ...]
    first_message: int
    messages: tuple[Message, ...]
    marks: tuple[TurnMark, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session so far.

    Attributes:
        model: what `ids` and `blocks` are of use to.
        created, last_used: in seconds since 1970.
        ids: tokens of everything said, as the model saw them.
        blocks: keys and values of the first `kv_tokens` of them, without a gap.
        turns: number of the last one.
        marks: where turns lie, in order; those of which nobody knows are left out.
        is_foreign: whether keys and values came with a file. They may be anything, and are nobody else's.
    """

    key: SessionKey
    model: ModelMark
    created: float
    last_used: float
    ids: tuple[int, ...] = ()
    messages: tuple[Message, ...] = ()
    blocks: tuple[KvBlock, ...] = ()
    turns: int = 0
    marks: tuple[TurnMark, ...] = ()
    is_foreign: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said in it: it has not begun, or all was taken back."""
        return not (self.ids or self.messages)

    @property
    def kv_tokens(self) -> int:
        """How many positions have keys and values."""
        return self.blocks[-1].stop if self.blocks else 0

    @property
    def kv_bytes(self) -> int:
        """Bytes that the blocks take in memory."""
        return sum(memoryview(block.data).nbytes for block in self.blocks)

    @property
    def prompt_tokens(self) -> int:
        """Positions that were surely computed as the first prompt, by prefills alone; its last may not have been.

        None where somebody else says what was computed.
        """
        if self.is_foreign:
            return 0
        first = self.marks[0] if self.marks else None
        return max(0, first.answer_start - 1) if first is not None and first.number == 1 else 0

    @property
    def text_bytes(self) -> int:
        """Bytes that the rest takes, about: so that many conversations without keys and values are bounded as well."""
        letters = sum(len(message.content) + len(message.role) for message in self.messages)
        things = _BYTES_PER_MESSAGE * len(self.messages) + _BYTES_PER_MARK * len(self.marks)
        return _BYTES_PER_TOKEN * len(self.ids) + _BYTES_PER_LETTER * letters + things + _BYTES_PER_SESSION

    def after(self, turn: Turn) -> "Conversation":
        """With one more turn. Keys and values of what it replaces are let go."""
        return replace(
            self,
            last_used=max(self.last_used, turn.at),
            ids=self.ids[: turn.start] + turn.ids,
            messages=self.messages[: turn.first_message] + turn.messages,
            blocks=_until(self.blocks, turn.start),
            turns=turn.number,
            marks=(*self._marks_before(turn), *turn.marks),
        )

    def until(self, ids: int, messages: int) -> "Conversation":
        """What its first tokens and its first messages were, in as many turns."""
        return replace(
            self,
            ids=self.ids[:ids],
            messages=self.messages[:messages],
            blocks=_until(self.blocks, ids),
            marks=tuple(mark for mark in self.marks if mark.end <= ids),
        )

    def _marks_before(self, turn: Turn) -> Iterator[TurnMark]:
        """Those that hold still; of an answer that was taken up, the turn tells anew where it lies."""
        again = {mark.number for mark in turn.marks}
        return (mark for mark in self.marks if mark.end <= turn.start and mark.number not in again)

    def blocks_until(self, stop: int) -> tuple[KvBlock, ...]:
        """Keys and values of what lies before a position."""
        return _until(self.blocks, stop)

    def without_data(self) -> "Conversation":
        """With the places of keys and values, and not themselves."""
        return replace(self, blocks=tuple(replace(block, data=b"") for block in self.blocks))

    def readable(self) -> "Conversation":
        """Without such places."""
        return replace(self, blocks=tuple(takewhile(lambda block: block.data, self.blocks)))

    def takes(self, block: KvBlock) -> bool:
        """Whether keys and values are of use here: behind a gap, or past the tokens, they are not."""
        return _fits(block, self.kv_tokens, len(self.ids))

    def having(self, *blocks: KvBlock) -> "Conversation":
        """With keys and values from each block's start on, if it takes them; with none from there on, if it holds none.

        One after the other, in a time that does not grow with the square of how many there are.
        """
        held = list(self.blocks)
        for block in blocks:
            fits = _fits(block, held[-1].stop if held else 0, len(self.ids))
            if fits or (block.held == 0 and block.start >= 0):
                _cut(held, block.start)
            if fits:
                held.append(block)
        return replace(self, blocks=tuple(held))

    def of(self, model: ModelMark) -> "Conversation":
        """As that model finds it: with the tokens if they mean the same to it, and with keys and values of its own."""
        if model == self.model:
            return self
        if model.tokenizer == self.model.tokenizer:
            return replace(self, model=model, blocks=(), is_foreign=False)
        return replace(self, model=model, ids=(), marks=(), blocks=(), is_foreign=False)


def _fits(block: KvBlock, kv_tokens: int, tokens: int) -> bool:
    """Whether it lies behind so many positions that have keys and values, or in their place, and within the tokens."""
    return 0 <= block.start <= kv_tokens and 0 < block.tokens <= block.held and block.stop <= tokens


def _cut(blocks: list[KvBlock], stop: int) -> None:
    """Let go of what lies behind a position."""
    while blocks and blocks[-1].stop > stop:
        last = blocks.pop()
        if last.start < stop:
            blocks.append(last.until(stop))


def _until(blocks: tuple[KvBlock, ...], stop: int) -> tuple[KvBlock, ...]:
    return tuple(block.until(stop) for block in blocks if block.start < stop)


def common_beginning(one: Sequence[object], other: Sequence[object]) -> int:
    """How many tokens, messages or pages two of them begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(one), len(other)))
