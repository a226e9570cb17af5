"""What is asked of a model, and what it answers."""

from dataclasses import dataclass
from enum import Enum

from autoglmd.messages.sessions import CacheReport, SessionKey


class FinishReason(Enum):
    """Why a request ended. Every request ends with exactly one."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ERROR = "error"
    SHUTDOWN = "shutdown"

    @property
    def is_whole(self) -> bool:
        """Whether the answer was told to its end: the model's, or its limit's."""
        return self in (FinishReason.STOP, FinishReason.LENGTH)

    @property
    def is_for_good(self) -> bool:
        """Whether nothing is left to take up. In any other way an answer breaks off."""
        return self.is_whole or self is FinishReason.CANCELLED


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to continue as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """Messages, to be rendered with the model's chat template."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids, to be used as they stand."""

    ids: tuple[int, ...]


Prompt = TextPrompt | ChatPrompt | TokenPrompt


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is drawn. `None` means: the model's generation default, else the neutral value.

    Ranges are checked at the edge; see `proto/openglm/v1/inference.proto` for them.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logprobs: int | None = None


class Overflow(Enum):
    """What is done with a chat, or a session of chats, that leaves no room for an answer."""

    REFUSE = "refuse"
    DROP_OLDEST = "drop oldest"


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One validated call of `Generate`.

    Attributes:
        model: empty for the default model.
        max_tokens: `None` for the daemon's default.
        deadline: on the monotonic clock, in seconds; `None` for no deadline.
        arrived: on the same clock.
        session: the conversation that it goes on with; `None` for none.
        tenant: whose it is; `None` where nobody knows, and nothing is shared.
        overflow: only of chats anything but REFUSE.
    """

    request_id: str
    model: str
    prompt: Prompt
    sampling: SamplingParams
    max_tokens: int | None
    stop: tuple[str, ...]
    ignore_eos: bool
    deadline: float | None
    arrived: float
    trace_id: str
    session: SessionKey | None = None
    tenant: str | None = None
    overflow: Overflow = Overflow.REFUSE


@dataclass(frozen=True, slots=True)
class ResumptionRequest:
    """One validated call of `Resume`.

    Attributes:
        after_token: how many tokens of the answer the reader has.
        request_id: of the request that it must be the answer to; empty for whichever.
        deadline, arrived: as in GenerationRequest.
    """

    session: SessionKey
    after_token: int
    request_id: str
    deadline: float | None
    arrived: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class Logprob:
    """Natural log of a token's probability under the model's own distribution."""

    token_id: int
    logprob: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The chosen token's log probability and the most probable alternatives, best first."""

    chosen: Logprob
    top: tuple[Logprob, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from arrival to row, row to first token, first to last token, and in all."""

    queue: float
    prefill: float
    decode: float
    total: float


@dataclass(frozen=True, slots=True)
class Started:
    """First event of every stream.

    Attributes:
        dropped_messages: those that went because the context was full.
        unsaved_seconds: for how long the disk has taken no conversations, if one was to be kept; 0 where it takes them.
    """

    request_id: str
    model: str
    model_version: str
    prompt_tokens: int
    cache: CacheReport
    seed: int
    trace_id: str
    dropped_messages: int = 0
    unsaved_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """How much of a long prompt has been computed."""

    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class TokenText:
    """A piece of text with the ids that it came from."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of every stream. `error` is an `AutoglmError` where the reason is ERROR or SHUTDOWN."""

    reason: FinishReason
    usage: Usage
    timings: Timings
    stop: str = ""
    error: Exception | None = None


StreamEvent = Started | PrefillProgress | TokenText | Finished


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a tokenizer made of a text: ids and the piece of text of each."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
