"""The configuration: one frozen dataclass per room, read once from a strict TOML file.

An unknown key, a wrong type or a value out of range is an error that names the key and the remedy. Nothing is
changed after loading. `docs/configuration.md` is generated from this file.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from autoglmd.errors import ConfigError

DEFAULT_SOCKET = Path("/run/autoglmd/autoglmd.sock")
DEFAULT_STATE_DIR = Path("/var/lib/autoglmd")
DEFAULT_MODEL = "glm-small"
BUNDLED_PREFIX = "bundled:"

# Names become folders under state_dir.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Room = TypeVar("Room", bound="ServerConfig | LogConfig | EngineConfig | SessionsConfig | ModelConfig")


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


@dataclass(frozen=True, slots=True)
class SessionsConfig:
    """[sessions]: conversations that outlive their requests, and the daemon."""

    memory_bytes: int = _key(256 << 20, "Conversations kept in memory, keys and values included.", low=0, high=1 << 40)
    disk_bytes: int = _key(
        4 << 30, "Conversations kept under state_dir; the longest unused go first.", low=0, high=1 << 50
    )
    ttl_seconds: float = _key(30 * 86400.0, "How long an unused conversation is kept.", low=1, high=1e10)
    unsaved_bytes: int = _key(
        128 << 20,
        "Keys and values that may wait for a slow disk; beyond that a turn is saved without.",
        low=0,
        high=1 << 40,
    )
    busy: str = _key(
        "wait",
        "What a second request for a session in use does: wait for the first, or be refused.",
        choices=("wait", "refuse"),
    )


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


def load_config(
    path: Path | None, overrides: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Config:
    """Read a TOML file; `None` gives the defaults.

    Args:
        path: the file.
        overrides: a table that goes over the file's, as the command line gives it; its models are all there are.
        defaults: a table that the file's goes over, for what depends on the user.

    Raises:
        ConfigError: the file is missing, not TOML, or has a key or value that we do not take.
    """
    table = {} if path is None else _read_toml(path)
    if overrides and "models" in overrides:
        table.pop("models", None)
    return parse_config(_merged(_merged(defaults or {}, table), overrides or {}), str(path or "defaults"))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. Name another with --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(table)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def parse_config(table: Mapping[str, Any], source: str) -> Config:
    """Check a parsed TOML table and freeze it. `source` names it in errors."""
    keys = ("state_dir", "default_model", "standard_models", "amx", "server", "log", "engine", "sessions", "models")
    _refuse_unknown(table, keys, source, "")
    engine = _read(EngineConfig(), table.get("engine", {}), source, "engine")
    state_dir = Path(_typed(table.get("state_dir", str(DEFAULT_STATE_DIR)), str, source, "state_dir"))
    if state_dir == Path():
        raise ConfigError(f"{source}: state_dir is empty. Name a folder, or leave it out.")
    state_dir = state_dir.absolute()
    standard = _typed(table.get("standard_models", True), bool, source, "standard_models")
    standards = standard_models(engine, state_dir)
    models = dict(standards) if standard else {}
    named = _typed(table.get("models", {}), dict, source, "models")
    for name, entry in named.items():
        models[name] = _read_model(name, entry, standards.get(name, ModelConfig(engine=engine)), source)
    default_model = _typed(table.get("default_model", DEFAULT_MODEL), str, source, "default_model")
    if not models:
        raise ConfigError(
            f"{source}: no models are configured. Add [models.NAME] with its path, or leave standard_models true."
        )
    if default_model not in models:
        nearest = _nearest(default_model, tuple(models))
        raise ConfigError(f"{source}: default_model = {default_model!r} is not in [models].{nearest}")
    return Config(
        state_dir=state_dir,
        default_model=default_model,
        standard_models=standard,
        amx=_typed(table.get("amx", False), bool, source, "amx"),
        server=_read(ServerConfig(), table.get("server", {}), source, "server"),
        log=_read(LogConfig(), table.get("log", {}), source, "log"),
        engine=engine,
        sessions=_read(SessionsConfig(), table.get("sessions", {}), source, "sessions"),
        models=models,
    )


def _read_model(name: str, entry: Any, base: ModelConfig, source: str) -> ModelConfig:
    """`base` with the entry's keys in place of its own; that of a standard name has a path."""
    where = f"models.{name}"
    if not _MODEL_NAME.fullmatch(name):
        raise ConfigError(f"{source}: {where}: a model's name is 1 to 64 letters, digits, '.', '_' or '-'.")
    rest = dict(_typed(entry, dict, source, where))
    engine = _read(base.engine, rest.pop("engine", {}), source, f"{where}.engine")
    model = _read(replace(base, engine=engine), rest, source, where)
    if not model.path:
        raise ConfigError(f"{source}: {where}.path is missing. Name the bundle's folder.")
    return model


def _read(base: Room, table: Any, source: str, where: str) -> Room:
    """`base` with the table's keys in place of its own; keys without a Rule are tables of their own."""
    _typed(table, dict, source, where)
    keys = {entry.name: entry for entry in fields(base) if "rule" in entry.metadata}
    _refuse_unknown(table, tuple(keys), source, where)
    values = {name: _value(keys[name], value, source, f"{where}.{name}") for name, value in table.items()}
    return replace(base, **values)


def _value(entry: Field[Any], value: Any, source: str, where: str) -> Any:
    is_path = entry.type in (Path, Path | None)
    wanted = str if is_path or entry.default is None else type(entry.default)
    checked = _typed(float(value) if wanted is float and type(value) is int else value, wanted, source, where)
    if checked == "" and (is_path or entry.default is None):
        raise ConfigError(f"{source}: {where} is empty. Give it a value, or leave it out.")
    _check_bounds(entry.metadata["rule"], checked, source, where)
    return Path(checked) if is_path else checked


def _check_bounds(rule: Rule, value: Any, source: str, where: str) -> None:
    if rule.choices and value not in rule.choices:
        nearest = _nearest(str(value), rule.choices)
        raise ConfigError(f"{source}: {where} = {value!r} is not one of {', '.join(rule.choices)}.{nearest}")
    if rule.low is not None and rule.high is not None and not rule.low <= value <= rule.high:
        raise ConfigError(f"{source}: {where} = {value!r} is outside {rule.range}.{_octal(rule, value)}")


def _octal(rule: Rule, value: int) -> str:
    """Who writes 660 for permission bits means 0o660, which is another number."""
    digits = str(value)
    meant = rule.octal and re.fullmatch("[0-7]+", digits) and int(digits, 8) <= (rule.high or 0)
    return f" Did you mean 0o{digits}?" if meant else ""


def _typed(value: Any, wanted: type, source: str, where: str) -> Any:
    # A bool is an int to Python, and not to us.
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        names = {
            dict: "a table",
            str: "a string",
            int: "an integer",
            float: "a number",
            bool: "true or false",
        }
        raise ConfigError(f"{source}: {where} must be {names[wanted]}, not {value!r}.")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], source: str, where: str) -> None:
    for key in table:
        if key not in known:
            full = f"{where}.{key}" if where else key
            raise ConfigError(f"{source}: unknown key {full!r}.{_nearest(key, known)}")


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
