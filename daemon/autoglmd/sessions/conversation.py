"""A conversation as a value: what was said, its tokens, and the keys and values that were computed for them."""

from dataclasses import dataclass, replace

from autoglmd.messages import KvBlock, Message, SessionKey


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
class Turn:
    """What one request added to what was said.

    Attributes:
        number: 1 for the first. Saved a second time, because nobody knew whether it had been, it is still one.
        at: when it ended, in seconds since 1970.
        start: position of `ids[0]`; tokens that the conversation had from there on are replaced.
        ids: tokens of the prompt's new part and of the answer.
        first_message: place of `messages[0]`; messages that there were from there on are replaced.
        messages: the request's new ones and the answer; empty where the prompt was no chat.
    """

    number: int
    at: float
    start: int
    ids: tuple[int, ...]
    first_message: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session so far.

    Attributes:
        model: what `ids` and `blocks` are of use to.
        created, last_used: in seconds since 1970.
        ids: tokens of everything said, as the model saw them.
        blocks: keys and values of the first `kv_tokens` of them, without a gap.
        turns: number of the last one.
    """

    key: SessionKey
    model: ModelMark
    created: float
    last_used: float
    ids: tuple[int, ...] = ()
    messages: tuple[Message, ...] = ()
    blocks: tuple[KvBlock, ...] = ()
    turns: int = 0

    @property
    def kv_tokens(self) -> int:
        """How many positions have keys and values."""
        return self.blocks[-1].stop if self.blocks else 0

    @property
    def kv_bytes(self) -> int:
        """Bytes that the blocks take in memory."""
        return sum(memoryview(block.data).nbytes for block in self.blocks)

    def after(self, turn: Turn) -> "Conversation":
        """With one more turn. Keys and values of what it replaces are let go."""
        return replace(
            self,
            last_used=max(self.last_used, turn.at),
            ids=self.ids[: turn.start] + turn.ids,
            messages=self.messages[: turn.first_message] + turn.messages,
            blocks=_until(self.blocks, turn.start),
            turns=turn.number,
        )

    def blocks_until(self, stop: int) -> tuple[KvBlock, ...]:
        """Keys and values of what lies before a position."""
        return _until(self.blocks, stop)

    def without_data(self) -> "Conversation":
        """With the places of keys and values, and not themselves."""
        return replace(self, blocks=tuple(replace(block, data=b"") for block in self.blocks))

    def takes(self, block: KvBlock) -> bool:
        """Whether keys and values are of use here: behind a gap, or past the tokens, they are not."""
        is_sound = 0 <= block.start <= self.kv_tokens and 0 < block.tokens <= block.held
        return is_sound and block.stop <= len(self.ids)

    def having(self, block: KvBlock) -> "Conversation":
        """With keys and values from `block.start` on, if it takes them."""
        if not self.takes(block):
            return self
        return replace(self, blocks=(*_until(self.blocks, block.start), block))

    def of(self, model: ModelMark) -> "Conversation":
        """As that model finds it: with the tokens if they mean the same to it, and with keys and values of its own."""
        if model == self.model:
            return self
        ids = self.ids if model.tokenizer == self.model.tokenizer else ()
        return replace(self, model=model, ids=ids, blocks=())


def _until(blocks: tuple[KvBlock, ...], stop: int) -> tuple[KvBlock, ...]:
    return tuple(block.until(stop) for block in blocks if block.start < stop)
