"""autoglmctl session: the conversations that the daemon keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoglmctl.answering import new_answer, show
from autoglmctl.invocation import Invocation
from autoglmctl.options import SessionArgument
from autoglmctl.quantities import counted

if TYPE_CHECKING:
    from openglm import SessionInfo


@dataclass(frozen=True)
class Place:
    """Where to cut a conversation."""

    at_token: Annotated[int | None, typer.Option(help="Keep this many tokens.", metavar="N", show_default=False)] = None
    at_turn: Annotated[int | None, typer.Option(help="Keep this many turns.", metavar="N", show_default=False)] = None


def list_sessions(invocation: Invocation) -> None:
    """List your conversations, the last used first."""
    with invocation.client() as client:
        sessions = client.sessions()

    def table() -> tuple[Any, ...]:
        from autoglmctl.session_tables import session_overview

        return (
            (session_overview(sessions),)
            if sessions
            else ("No sessions. `autoglmctl chat --session NAME` begins one.",)
        )

    invocation.show({"sessions": sessions}, table)


def show_session(invocation: Invocation, session_id: SessionArgument) -> None:
    """Show a conversation: what was said, and what it takes up.

    An answer that is being given in it is waited for.
    """
    with invocation.client() as client:
        session = client.session(session_id)

    def page() -> tuple[Any, ...]:
        from autoglmctl.session_tables import session_page

        return tuple(session_page(session))

    invocation.show(session, page)


def delete_session(invocation: Invocation, session_id: SessionArgument) -> None:
    """Forget a conversation, in memory and on disk."""
    with invocation.client() as client:
        client.delete_session(session_id)
    invocation.show({"deleted": session_id}, lambda: (f"Session {session_id} is gone.",))


def resume_session(
    invocation: Invocation,
    session_id: SessionArgument,
    *,
    stream: Annotated[bool, typer.Option("--stream", help="With --json: one line per event, as they come.")] = False,
) -> None:
    """Print a conversation's last answer from its beginning, and go on with it where it broke off.

    For who lost the terminal in which it was being printed. Another reader of the same answer is waited for: the rest
    comes when the answer is over.
    """
    show(invocation, new_answer(invocation, stream=stream), lambda client: client.resume(session_id))


def fork_session(
    invocation: Invocation,
    session_id: SessionArgument,
    new_session_id: Annotated[str, typer.Argument(help="The new session's name.", metavar="NEW")],
    place: Place,
) -> None:
    """Begin another conversation with what this one says, or the first part of it.

    `show` lists the end of each turn.
    """
    with invocation.client() as client:
        info = client.fork_session(session_id, new_session_id, **asdict(place))
    show_change(invocation, info, f"Session {new_session_id} begins with")


def rewind_session(invocation: Invocation, session_id: SessionArgument, place: Place) -> None:
    """Take back a conversation's last turn, or everything behind a place.

    `show` lists the end of each turn.
    """
    with invocation.client() as client:
        info = client.rewind_session(session_id, **asdict(place))
    show_change(invocation, info, f"Session {session_id} has")


def show_change(invocation: Invocation, info: SessionInfo, has: str) -> None:
    """Show what a session has after a change, and whether a crash would take that back."""
    said = f"{has} {counted(info.turns, 'turn')}, {counted(info.tokens, 'token')}."
    invocation.show(info, lambda: (said,))
    if not info.disk_bytes and not invocation.json:
        # The daemon gives up waiting for a slow disk, and answers all the same.
        invocation.terminal.remark(
            "The change is not on the daemon's disk yet, and would be lost if the daemon ended now. "
            "`autoglmctl status` says how long it waits."
        )
