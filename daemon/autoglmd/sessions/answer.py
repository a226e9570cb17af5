"""An answer while it is being given: all that it takes to give it again, and what was drawn of it so far."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from autoglmd.messages.generation import FinishReason, Message, SamplingParams
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.conversation import ModelMark, TurnMark

MAX_DRAWN_TOKENS = 1 << 20
_FLOATS = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True, slots=True)
class Answer:
    """A session's last answer.

    Attributes:
        model: what its tokens, and the keys and values before it, are of use to.
        request_id: of the request that it answers.
        turn: number of its turn.
        shared: how many of the prompt's tokens the conversation had before.
        prompt_ids: those behind them.
        prompt_digest: of the whole prompt; see `digest_of`.
        first_message: how many messages the conversation had before.
        messages: those that the request added.
        answer_role: who says the answer.
        marks: where turns lie that are told again.
        dropped: how many messages went because the context was full.
        sampling: nothing left open; `logprobs` is `None` for none.
        begun: in seconds since 1970; 0 before it is journalled.
        drawn: its tokens so far, the end-of-text token excluded.
        end: how it ended, once its reader was told; `None` before, and where it broke off.
    """

    key: SessionKey
    model: ModelMark
    request_id: str
    turn: int
    shared: int
    prompt_ids: tuple[int, ...]
    prompt_digest: str
    first_message: int
    messages: tuple[Message, ...]
    answer_role: str
    sampling: SamplingParams
    max_tokens: int
    stop: tuple[str, ...]
    ignore_eos: bool
    begun: float = 0.0
    drawn: tuple[int, ...] = ()
    end: FinishReason | None = None
    marks: tuple[TurnMark, ...] = ()
    dropped: int = 0

    @property
    def size(self) -> int:
        """Bytes that it takes in the journal, at most: packed, and all that may be drawn."""
        text = sum(len(each.content) + len(each.role) for each in self.messages) + sum(map(len, self.stop))
        return 8192 + 12 * len(self.prompt_ids) + 96 * len(self.marks) + 6 * text + 4 * self.max_tokens


def digest_of(ids: Iterable[int]) -> str:
    """What tells one prompt from another."""
    return hashlib.sha256(packed_ids(ids)).hexdigest()


def packed_ids(ids: Iterable[int]) -> bytes:
    """Token ids as bytes: little-endian, four each."""
    return np.fromiter(ids, "<u4").tobytes()


def unpacked_ids(data: bytes) -> tuple[int, ...]:
    """The ids in `packed_ids`'s bytes. Raises ValueError where they are none."""
    return tuple(np.frombuffer(data, "<u4").tolist())


def packed(answer: Answer) -> bytes:
    """An answer as it begins: without what was drawn, and how it ended."""
    meta = asdict(answer)
    del meta["drawn"], meta["end"]
    return json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()


def unpacked(data: bytes) -> Answer:
    """The answer in `packed`'s bytes.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, RecursionError: it cannot be what a daemon wrote.
    """
    meta: dict[str, Any] = json.loads(data)
    made = Answer(
        key=SessionKey(str(meta["key"]["tenant"]), str(meta["key"]["session_id"])),
        model=ModelMark(**meta["model"]),
        request_id=str(meta["request_id"]),
        turn=int(meta["turn"]),
        shared=int(meta["shared"]),
        prompt_ids=tuple(map(int, meta["prompt_ids"])),
        prompt_digest=str(meta["prompt_digest"]),
        first_message=int(meta["first_message"]),
        messages=tuple(Message(str(each["role"]), str(each["content"])) for each in meta["messages"]),
        answer_role=str(meta["answer_role"]),
        sampling=_sampling(meta["sampling"]),
        max_tokens=int(meta["max_tokens"]),
        stop=tuple(map(str, meta["stop"])),
        ignore_eos=bool(meta["ignore_eos"]),
        begun=float(meta["begun"]),
        marks=tuple(TurnMark(**{name: int(place) for name, place in dict(each).items()}) for each in meta["marks"]),
        dropped=int(meta["dropped"]),
    )
    places = (made.turn - 1, made.shared, made.first_message, made.max_tokens - 1, made.dropped, *made.prompt_ids)
    if min(places) < 0:
        raise ValueError("a negative place")
    return made


def _sampling(meta: dict[str, Any]) -> SamplingParams:
    values = {
        entry.name: None if meta[entry.name] is None else (float if entry.name in _FLOATS else int)(meta[entry.name])
        for entry in fields(SamplingParams)
    }
    return SamplingParams(**values)  # type: ignore[arg-type]  # each made its own field's type
