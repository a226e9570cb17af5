"""autoglmctl session: list, show and delete the conversations that the daemon keeps."""

from typing import Annotated, Any

import typer

from autoglmctl.invocation import Invocation

SessionArgument = Annotated[str, typer.Argument(help="The session's name.", metavar="NAME")]


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
    """Show a conversation: what was said, and what it takes up."""
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
