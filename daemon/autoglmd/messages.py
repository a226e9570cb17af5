"""The frozen values that travel between the rooms. They hold data and nothing that changes."""

from dataclasses import dataclass, field, replace
from enum import Enum


class FinishReason(Enum):
    """Why a request ended. Every request ends with exactly one."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ERROR = "error"
    SHUTDOWN = "shutdown"


class ModelState(Enum):
    """Whether a configured model can be asked."""

    LOADING = "loading"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    ABSENT = "absent"


class DaemonState(Enum):
    """Where the daemon is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


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
class SessionKey:
    """Whose conversation, and what its owner calls it."""

    tenant: str
    session_id: str


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner sees it. Times in seconds since 1970; see `proto/openglm/v1/sessions.proto`."""

    session_id: str
    model: str
    created: float
    last_used: float
    expires: float
    turns: int
    tokens: int
    disk_bytes: int


class CacheTier(Enum):
    """Where keys and values of a conversation were found."""

    ROW = "row"
    MEMORY = "memory"
    DISK = "disk"


class CacheMiss(Enum):
    """Why fewer of a conversation's tokens were cached than it has."""

    NEW_SESSION = "new session"
    EXPIRED = "expired"
    EVICTED = "evicted"
    MODEL_CHANGED = "model changed"
    DAMAGED = "damaged"
    HISTORY_CHANGED = "history changed"
    UNREADABLE = "unreadable"
    NOT_KEPT = "not kept"


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What a conversation brought along. `tier` is `None` where nothing was cached, `miss` where nothing was lost."""

    cached_tokens: int = 0
    tier: CacheTier | None = None
    miss: CacheMiss | None = None


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


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One validated call of `Generate`.

    Attributes:
        model: empty for the default model.
        max_tokens: `None` for the daemon's default.
        deadline: on the monotonic clock, in seconds; `None` for no deadline.
        arrived: on the same clock.
        session: the conversation that it goes on with; `None` for none.
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
class KvBlock:
    """Keys and values of neighbouring positions of one sequence, as the model stores them.

    Attributes:
        start: the first position.
        tokens: positions that hold good, from the first on.
        held: positions in `data`, at least `tokens`.
        data: tensor by tensor, each [kv_heads, held, width].
    """

    start: int
    tokens: int
    held: int
    data: bytes | memoryview

    @property
    def stop(self) -> int:
        """The position behind the last that holds good."""
        return self.start + self.tokens

    def until(self, stop: int) -> "KvBlock":
        """The same, holding good before `stop` alone."""
        return self if stop >= self.stop else replace(self, tokens=max(0, stop - self.start))


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
    """First event of every stream."""

    request_id: str
    model: str
    model_version: str
    prompt_tokens: int
    cache: CacheReport
    seed: int
    trace_id: str


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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What an operator wants to know of a configured model. Sizes in bytes; zero where it is not loaded."""

    name: str
    state: ModelState
    detail: str = ""
    is_default: bool = False
    version: str = ""
    architecture: str = ""
    path: str = ""
    weights_bytes: int = 0
    precision: str = ""
    kv_precision: str = ""
    context_tokens: int = 0
    rows: int = 0
    vocab_size: int = 0
    layers: int = 0
    kv_bytes_per_token: int = 0
    provider: str = ""
    fallback: str = ""
    prepared: bool = False
    batch_invariant: bool = False


@dataclass(frozen=True, slots=True)
class EngineStats:
    """One engine's counters since it started, published by the engine thread after each step."""

    model: str
    rows: int
    rows_in_use: int = 0
    waiting: int = 0
    requests_started: int = 0
    requests_finished: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    steps: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    decoded_tokens: int = 0


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What `Admin.Status` answers. `uptime` in seconds."""

    version: str
    state: DaemonState
    uptime: float
    pid: int
    resident_bytes: int
    onnxruntime_version: str
    available_providers: tuple[str, ...]
    models: tuple[ModelInfo, ...] = field(default=())
    engines: tuple[EngineStats, ...] = field(default=())
    open_streams: int = 0
    refused: int = 0
