"""Logs: one line per event on standard error, JSON for machines or text for eyes.

Code logs through `logging.getLogger(__name__)` and passes numbers in `extra`; the request's and the trace's id are
added from the running scope. Prompts and answers are never logged.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from autoglmd.telemetry.scope import current_scope

# What every LogRecord has; any other attribute came in by `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED = frozenset({"ts", "level", "logger", "msg", "exception"})


def configure_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream`; calling it again replaces the former settings.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "json" or "text".
        stream: standard error if not given.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Below these, the libraries' own lines are about their inside.
    for library in ("asyncio", "grpc"):
        logging.getLogger(library).setLevel(max(root.level, logging.WARNING))


class JsonFormatter(logging.Formatter):
    """One JSON object per record: ts, level, logger, msg, then the extra fields, then the exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry: dict[str, Any] = {
            "ts": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        entry |= {f"extra_{name}" if name in _RESERVED else name: value for name, value in extras(record)}
        if exception := _exception(self, record):
            entry["exception"] = exception
        return _dump(entry)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, then the extra fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception follows it on lines of its own."""
        head = f"{timestamp(record.created)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        line = " ".join([head, *(f"{name}={value}" for name, value in extras(record))])
        return "\n".join(filter(None, (line, _exception(self, record))))


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """The scope's fields and those passed by `extra`, which win."""
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    return list((current_scope().fields | given).items())


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _dump(entry: dict[str, Any]) -> str:
    try:
        return json.dumps(entry, ensure_ascii=False, allow_nan=False, default=str)
    except (ValueError, TypeError):
        # NaN, a key that is not a string, a cycle: rather an odd line than none.
        return json.dumps({name: str(value) for name, value in entry.items()}, ensure_ascii=False)
