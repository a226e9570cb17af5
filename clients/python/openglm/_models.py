"""The frozen values that the daemon answers with."""

from dataclasses import dataclass, field
from enum import StrEnum

from openglm._mirror import Mirror
from openglm._session_models import SessionsStatus


class FinishReason(StrEnum):
    """Why an answer ended."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ERROR = "error"
    SHUTDOWN = "shutdown"


class ModelState(StrEnum):
    """Whether a configured model can be asked."""

    UNSPECIFIED = "unspecified"
    LOADING = "loading"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    ABSENT = "absent"


class DaemonState(StrEnum):
    """Where the daemon is in its life."""

    UNSPECIFIED = "unspecified"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class CacheTier(StrEnum):
    """Where a conversation's KV was found."""

    UNSPECIFIED = "unspecified"
    ROW = "row"
    MEMORY = "memory"
    DISK = "disk"


class CacheMiss(StrEnum):
    """Why tokens of a conversation had to be computed again, or are not there; UNSPECIFIED where none were missed."""

    UNSPECIFIED = "unspecified"
    NEW_SESSION = "new_session"
    EXPIRED = "expired"
    EVICTED = "evicted"
    MODEL_CHANGED = "model_changed"
    DAMAGED = "damaged"
    HISTORY_CHANGED = "history_changed"
    UNREADABLE = "unreadable"
    NOT_KEPT = "not_kept"
    CONTEXT_MOVED = "context_moved"


@dataclass(frozen=True, slots=True)
class Logprob(Mirror):
    """Natural logarithm of a token's probability under the model's own distribution."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The chosen token's log probability, and the alternatives asked for, most probable first."""

    chosen: Logprob
    top: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage(Mirror):
    """Token counts of one request."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings(Mirror):
    """Milliseconds: arrival to row, row to first token, first to last token, and in all."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """First event of every stream. `seed` is the one in use, `trace_id` the W3C one in the daemon's log.

    `dropped_messages` are the oldest ones, which the answer does not know, because the request allowed it. For
    `unsaved_seconds` the daemon's disk has taken no conversations: what is said in a session is in its memory alone.
    """

    request_id: str = ""
    model: str = ""
    model_version: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    seed: int = 0
    trace_id: str = ""
    cache_tier: CacheTier = CacheTier.UNSPECIFIED
    cache_miss: CacheMiss = CacheMiss.UNSPECIFIED
    dropped_messages: int = 0
    unsaved_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PrefillProgress(Mirror):
    """How much of a long prompt has been computed."""

    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text with the ids that it came from; whole characters only."""

    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of every stream. `stop` is the stop string that ended it, if one did."""

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    stop: str = ""
    error_code: str = ""
    error_message: str = ""


Event = Started | PrefillProgress | Token | Finished


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `logprobs` has one entry per id if they were asked for, else none."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]
    started: Started
    finished: Finished

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""
        return self.finished.reason

    @property
    def usage(self) -> Usage:
        """Token counts."""
        return self.finished.usage

    @property
    def timings(self) -> Timings:
        """Where the time went, in milliseconds, as the daemon measured it."""
        return self.finished.timings

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids of a prompt, and the piece of text of each."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A configured model. Sizes in bytes; zero where it is not loaded."""

    name: str
    version: str
    state: ModelState
    detail: str
    is_default: bool
    architecture: str
    path: str
    weights_bytes: int
    precision: str
    kv_precision: str
    context_tokens: int
    rows: int
    vocab_size: int
    layers: int
    kv_bytes_per_token: int
    provider: str
    fallback: str
    prepared: bool
    batch_invariant: bool


@dataclass(frozen=True, slots=True)
class EngineStatus(Mirror):
    """One engine's counters since it started, and what it does now."""

    model: str
    rows: int
    rows_in_use: int
    waiting: int
    requests_started: int
    requests_finished: int
    prompt_tokens: int
    output_tokens: int
    steps: int
    prefill_seconds: float
    decode_seconds: float
    decoded_tokens: int


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The daemon's own account of itself. `sessions` is `None` from one that does not tell of them."""

    version: str
    state: DaemonState
    uptime_seconds: float
    pid: int
    resident_bytes: int
    onnxruntime_version: str
    available_providers: tuple[str, ...]
    models: tuple[ModelInfo, ...]
    engines: tuple[EngineStatus, ...]
    open_streams: int
    refused: int
    sessions: SessionsStatus | None = None
