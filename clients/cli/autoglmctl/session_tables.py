"""Sessions as tables and pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from autoglmctl.model_tables import columns, facts_table
from autoglmctl.quantities import byte_count, duration
from autoglmctl.terminal import visible

if TYPE_CHECKING:
    from rich.table import Table

    from openglm import Session, SessionInfo, Turn


def session_overview(sessions: Iterable[SessionInfo]) -> Table:
    """One row per session."""
    table = columns("Sessions", "session", "model", "turns", "tokens", "on disk", "last used", "expires in")
    for session in sessions:
        table.add_row(
            session.session_id,
            session.model,
            str(session.turns),
            str(session.tokens),
            byte_count(session.disk_bytes),
            f"{_since(session.last_used)} ago",
            duration(max(0.0, (session.expires - _now()).total_seconds())),
        )
    return table


def session_page(session: Session) -> Iterator[Any]:
    """The facts, then what was said, speaker by speaker."""
    info = session.info
    yield facts_table(
        info.session_id,
        {
            "model": info.model,
            "turns": info.turns,
            "tokens": f"{info.tokens}, {info.cached_tokens} of them computed",
            "on disk": byte_count(info.disk_bytes),
            "created": _local(info.created),
            "last used": _local(info.last_used),
            "expires": _local(info.expires),
        },
    )
    if info.unfinished:
        yield Text(f"Its last answer broke off: 'autoglmctl session resume {info.session_id}' takes it up.")
    if session.turns:
        yield _turns_table(session.turns)
    for message in session.messages:
        yield Text.assemble((f"{visible(message.role)}: ", "bold"), visible(message.content))


def _turns_table(turns: Iterable[Turn]) -> Table:
    table = columns("Turns", "turn", "answer's tokens", "messages so far")
    for turn in turns:
        table.add_row(str(turn.number), f"{turn.answer_start} to {turn.end}", str(turn.messages))
    return table


def _since(moment: datetime) -> str:
    return duration(max(0, int((_now() - moment).total_seconds())))


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _now() -> datetime:
    return datetime.now(UTC)
