"""The requests about conversations. No I/O: both kinds of client send what this file makes."""

from typing import Any

from openglm import _convert
from openglm._answer_calls import StreamCall
from openglm._calls import UnaryCall
from openglm._fields import bad, fill
from openglm._session_models import Session, SessionInfo
from openglm.v1 import sessions_pb2


def sessions() -> UnaryCall[tuple[SessionInfo, ...]]:
    """Build a ListSessions call."""
    return UnaryCall("ListSessions", sessions_pb2.ListSessionsRequest(), _convert.sessions)


def session(session_id: str) -> UnaryCall[Session]:
    """Build a GetSession call."""
    request = sessions_pb2.GetSessionRequest()
    fill(request, {"session_id": session_id})
    return UnaryCall("GetSession", request, _convert.session)


def delete_session(session_id: str) -> UnaryCall[None]:
    """Build a DeleteSession call."""
    request = sessions_pb2.DeleteSessionRequest()
    fill(request, {"session_id": session_id})
    # Asked a second time it would find nothing, or what another has begun under that name meanwhile.
    return UnaryCall("DeleteSession", request, lambda _: None, changes=True)


def fork_session(
    session_id: str, new_session_id: str, at_token: int | None, at_turn: int | None
) -> UnaryCall[SessionInfo]:
    """Build a ForkSession call. Raises InvalidArgumentError for two places."""
    request = sessions_pb2.ForkSessionRequest()
    fill(request, {"session_id": session_id, "new_session_id": new_session_id} | _place(at_token, at_turn))
    return UnaryCall("ForkSession", request, _convert.changed_session, changes=True)


def rewind_session(session_id: str, at_token: int | None, at_turn: int | None) -> UnaryCall[SessionInfo]:
    """Build a RewindSession call. Raises InvalidArgumentError for two places."""
    request = sessions_pb2.RewindSessionRequest()
    fill(request, {"session_id": session_id} | _place(at_token, at_turn))
    return UnaryCall("RewindSession", request, _convert.changed_session, changes=True)


def export_session(session_id: str) -> StreamCall:
    """Build an ExportSession call."""
    request = sessions_pb2.ExportSessionRequest()
    fill(request, {"session_id": session_id})
    return StreamCall("ExportSession", request)


def _place(at_token: int | None, at_turn: int | None) -> dict[str, Any]:
    if at_token is not None and at_turn is not None:
        raise bad("at_token", "give at most one of at_token and at_turn")
    return {name: at for name, at in (("at_token", at_token), ("at_turn", at_turn)) if at is not None}
