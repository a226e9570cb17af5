"""What there is to configure: one frozen dataclass per room. Nothing is changed after loading.

`docs/configuration.md` is generated from this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_SOCKET = Path("/run/autoglmd/autoglmd.sock")
DEFAULT_STATE_DIR = Path("/var/lib/autoglmd")
DEFAULT_MODEL = "glm-small"
BUNDLED_PREFIX = "bundled:"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a key accepts, beside its type; lives in the field's metadata and feeds the reference page."""

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    octal: bool = False

    @property
    def range(self) -> str:
        """Its bounds, written as people write such values; empty if it has none."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low} to 0o{int(self.high):o}" if self.octal else f"{self.low} to {self.high}"


def _key(default: Any, text: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"rule": Rule(text, **bounds)})


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """[server]: where the daemon listens, and how it stops."""

    socket: Path = _key(
        DEFAULT_SOCKET,
        "The Unix socket. Who may open it may use the daemon. Unset, for a user who cannot write there: "
        "`$XDG_RUNTIME_DIR/autoglmd/autoglmd.sock`.",
    )
    socket_mode: int = _key(
        0o660, "Permission bits of the socket, as TOML octal (0o660).", low=0, high=0o777, octal=True
    )
    socket_group: str | None = _key(None, "Group that owns the socket. Unset: the daemon's own.")
    listen: str | None = _key(
        None, 'Also listen on "HOST:PORT". Beyond loopback this needs tls_cert, tls_key and tls_client_ca.'
    )
    tls_cert: Path | None = _key(None, "PEM certificate chain for `listen`.")
    tls_key: Path | None = _key(None, "PEM private key for `listen`.")
    tls_client_ca: Path | None = _key(None, "PEM authorities whose client certificates are let in.")
    drain_seconds: float = _key(20.0, "On SIGTERM, how long running streams may go on.", low=0, high=3600)
    max_message_bytes: int = _key(4 << 20, "Larger messages are refused unread.", low=1 << 10, high=256 << 20)


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]: one line per event on standard error."""

    level: str = _key("info", "How much is logged.", choices=("debug", "info", "warning", "error"))
    format: str = _key(
        "auto", "JSON lines for machines, text for eyes; auto: text on a terminal.", choices=("auto", "json", "text")
    )


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """[engine], and overridden per model in [models.NAME.engine]: batching and limits."""

    rows: int = _key(8, "Sequences decoded together; each has a row in the KV cache.", low=1, high=256)
    context_tokens: int = _key(
        4096,
        "Longest sequence, prompt and output together; lowered to the model's own limit.",
        low=16,
        high=1 << 20,
    )
    kv_bytes: int = _key(
        0, "Bound on the memory promised to running sequences' KV. 0: rows x context.", low=0, high=1 << 40
    )
    prefill_chunk_tokens: int = _key(
        256, "Prompt tokens computed in one step; bounds the pause of running streams.", low=8, high=8192
    )
    prefill_padding: float = _key(
        0.25, "Share of padding at which fresh prompts are no longer batched together.", low=0, high=0.9
    )
    queue_depth: int = _key(64, "Requests that may wait for a row before new ones are refused.", low=1, high=65536)
    prefetch_depth: int = _key(16, "Tokenized requests kept ready for the engine.", low=1, high=4096)
    prefetch_threads: int = _key(1, "Threads that tokenize.", low=1, high=16)
    threads: int = _key(0, "Compute threads of the model. 0: one per usable core.", low=0, high=256)
    max_tokens: int = _key(512, "Output tokens where the request does not say.", low=1, high=1 << 20)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """[models.NAME]: one served model. One that cannot be loaded is reported as such; the others are served."""

    path: str = _key(
        "", "Bundle folder (genai_config.json, model.onnx, tokenizer), or bundled:NAME. Standard models have one."
    )
    device: str = _key("auto", "Where it runs.", choices=("auto", "cpu", "cuda", "tensorrt"))
    prepare: bool = _key(True, "Make and use a prepared copy for this box, under state_dir.")
    engine: EngineConfig = field(default_factory=EngineConfig)


_LEAST_PAST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SessionsConfig:
    """[sessions]: conversations that outlive their requests, and the daemon."""

    memory_bytes: int = _key(256 << 20, "Conversations kept in memory, keys and values included.", low=0, high=1 << 40)
    disk_bytes: int = _key(
        4 << 30, "Conversations kept under state_dir; the longest unused go first.", low=0, high=1 << 50
    )
    tenant_bytes: int = _key(
        0, "Of each tenant's conversations on disk; its longest unused go first. 0: disk_bytes.", low=0, high=1 << 50
    )
    tenant_sessions: int = _key(
        0, "How many conversations a tenant may have; its longest unused go first. 0: any number.", low=0, high=1 << 31
    )
    import_bytes: int = _key(
        1 << 30,
        "Largest file of a conversation that is imported, 0 for none; never more than may be kept.",
        low=0,
        high=1 << 40,
    )
    ttl_seconds: float = _key(30 * 86400.0, "How long an unused conversation is kept.", low=1, high=1e10)
    unsaved_bytes: int = _key(
        128 << 20,
        "Keys and values that may wait for a slow disk; beyond that a turn is saved without.",
        low=0,
        high=1 << 40,
    )
    share_prefixes: bool = _key(
        True,
        "Use keys and values that are known of one prompt for others of the same tenant that begin alike.",
    )
    recall_seconds: float = _key(
        5.0,
        "How long an answer waits for a disk to give its conversation; then it goes on without, and says so.",
        low=0.01,
        high=3600,
    )
    journal_seconds: float = _key(
        0.2,
        "How often what answers have drawn is made durable, for `Resume`: a crash costs the tokens of so long. 0: once "
        "an answer is over.",
        low=0,
        high=60,
    )
    busy: str = _key(
        "wait",
        "What a second request for a session in use does: wait for the first, or be refused.",
        choices=("wait", "refuse"),
    )
    key_file: Path | None = _key(
        None,
        "Encrypt conversations on disk with the key in this file, which `autoglmd make-session-key` makes. Unset: with "
        "systemd's credential `autoglmd.session-key`, or not at all.",
    )

    @property
    def past_bytes(self) -> int:
        """Of conversations that are ready for a row, at most. They are read ahead also where none stays in memory."""
        return max(self.memory_bytes, _LEAST_PAST_BYTES)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    state_dir: Path = DEFAULT_STATE_DIR
    default_model: str = DEFAULT_MODEL
    standard_models: bool = True
    amx: bool = False
    server: ServerConfig = field(default_factory=ServerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    sessions: SessionsConfig = field(default_factory=SessionsConfig)
    models: Mapping[str, ModelConfig] = field(default_factory=dict)


def standard_models(engine: EngineConfig, state_dir: Path) -> dict[str, ModelConfig]:
    """The embedded model, and the two names that are mapped to bundles built from real checkpoints."""
    return {
        DEFAULT_MODEL: ModelConfig(path=BUNDLED_PREFIX + DEFAULT_MODEL, engine=engine),
        "glm-base": ModelConfig(path=str(state_dir / "bundles" / "glm-base"), engine=engine),
        "glm-large": ModelConfig(path=str(state_dir / "bundles" / "glm-large"), engine=engine),
    }
