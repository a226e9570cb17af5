"""Reads a strict TOML file into the frozen configuration.

An unknown key, a wrong type or a value out of range is an error that names the key and the remedy.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from autoglmd.config.rooms import (
    DEFAULT_MODEL,
    DEFAULT_STATE_DIR,
    Config,
    EngineConfig,
    LogConfig,
    ModelConfig,
    Rule,
    ServerConfig,
    SessionsConfig,
    standard_models,
)
from autoglmd.errors.base import ConfigError

# Names become folders under state_dir.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Room = TypeVar("Room", bound=ServerConfig | LogConfig | EngineConfig | SessionsConfig | ModelConfig)


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
