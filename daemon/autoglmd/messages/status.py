"""What operators are told of the daemon and its models."""

from dataclasses import dataclass, field
from enum import Enum


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
class SessionsStats:
    """What the daemon keeps of conversations, and how that went since it started; see `admin.proto` for each.

    Each figure is counted by one owner: saves and what is unsaved by the write-back thread's; what is on disk by the
    store, when it was tidied up last; what is in memory by those conversations; what requests found by the gateway.
    """

    sessions: int = 0
    disk_bytes: int = 0
    memory_sessions: int = 0
    memory_bytes: int = 0
    unsaved_sessions: int = 0
    unsaved_seconds: float = 0.0
    saves: int = 0
    failed_saves: int = 0
    expired: int = 0
    evicted: int = 0
    from_rows: int = 0
    from_memory: int = 0
    from_disk: int = 0
    misses: int = 0
    cached_tokens: int = 0
    resumed: int = 0
    journal_seconds: float = 0.0


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
    sessions: SessionsStats = field(default_factory=SessionsStats)
