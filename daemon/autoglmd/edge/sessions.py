"""The `Sessions` service."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc

from autoglmd.edge.port import SessionsPort
from autoglmd.edge.requests import session_name
from autoglmd.edge.responses import session_response, turn_response
from autoglmd.edge.session_files import STALL_SECONDS, Pace, file_pieces, next_of
from autoglmd.edge.tenant import tenant_of
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.sessions import Place, SessionKey
from openglm.v1 import inference_pb2, sessions_pb2


class SessionsServicer:
    """Shows, changes, moves and removes the caller's own sessions. Methods bear the contract's names, in snake case."""

    def __init__(self, sessions: SessionsPort, stall_seconds: float = STALL_SECONDS) -> None:
        self._sessions = sessions
        self._stall_seconds = stall_seconds

    async def list_sessions(
        self, _request: sessions_pb2.ListSessionsRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.ListSessionsResponse:
        """All of them."""
        found = await self._sessions.all(tenant_of(context))
        return sessions_pb2.ListSessionsResponse(sessions=[session_response(each) for each in found])

    async def get_session(
        self, request: sessions_pb2.GetSessionRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.GetSessionResponse:
        """One of them."""
        info, messages, turns = await self._sessions.one(_key(request.session_id, context))
        said = [inference_pb2.Message(role=each.role, content=each.content) for each in messages]
        marks = [turn_response(each) for each in turns]
        return sessions_pb2.GetSessionResponse(session=session_response(info), messages=said, turns=marks)

    async def delete_session(
        self, request: sessions_pb2.DeleteSessionRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.DeleteSessionResponse:
        """Forget one."""
        await self._sessions.delete(_key(request.session_id, context))
        return sessions_pb2.DeleteSessionResponse()

    async def fork_session(
        self, request: sessions_pb2.ForkSessionRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.ForkSessionResponse:
        """Begin another with what one says."""
        key, new = _key(request.session_id, context), session_name(request.new_session_id, "new_session_id")
        info = await self._sessions.fork(key, new, _place(request))
        return sessions_pb2.ForkSessionResponse(session=session_response(info))

    async def rewind_session(
        self, request: sessions_pb2.RewindSessionRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.RewindSessionResponse:
        """Take back what one says."""
        info = await self._sessions.rewind(_key(request.session_id, context), _place(request))
        return sessions_pb2.RewindSessionResponse(session=session_response(info))

    async def export_session(
        self, request: sessions_pb2.ExportSessionRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Send one as a file."""
        pace = Pace(self._stall_seconds)
        async with aclosing(self._sessions.exported(_key(request.session_id, context))) as pieces:
            async for piece in pieces:
                async with pace.kept():
                    await context.write(sessions_pb2.ExportSessionResponse(data=piece))
                pace.moved(len(piece))

    async def import_session(
        self, requests: AsyncGenerator[sessions_pb2.ImportSessionRequest, None], context: grpc.aio.ServicerContext
    ) -> sessions_pb2.ImportSessionResponse:
        """Begin one with a file."""
        pace = Pace(self._stall_seconds)
        first = await next_of(requests, pace)
        if first is None:
            raise InvalidArgumentError("session_id", "is missing: the first message says what to call the session.")
        key = _key(first.session_id, context)
        async with aclosing(file_pieces(first, requests, pace)) as pieces:
            info = await self._sessions.imported(key, pieces)
        return sessions_pb2.ImportSessionResponse(session=session_response(info))


def _key(session_id: str, context: grpc.aio.ServicerContext) -> SessionKey:
    return SessionKey(tenant_of(context), session_name(session_id))


def _place(request: sessions_pb2.ForkSessionRequest | sessions_pb2.RewindSessionRequest) -> Place | None:
    match request.WhichOneof("at"):
        case "at_token":
            return Place(token=request.at_token)
        case "at_turn":
            return Place(turn=request.at_turn)
        case _:
            return None
