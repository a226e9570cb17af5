"""The `Sessions` service."""

import grpc

from autoglmd.edge.port import SessionsPort
from autoglmd.edge.requests import session_name
from autoglmd.edge.responses import session_response
from autoglmd.edge.tenant import tenant_of
from autoglmd.messages import SessionKey
from openglm.v1 import inference_pb2, sessions_pb2


class SessionsServicer:
    """Shows and removes the caller's own sessions. Methods bear the contract's names, in snake case."""

    def __init__(self, sessions: SessionsPort) -> None:
        self._sessions = sessions

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
        info, messages = await self._sessions.one(_key(request.session_id, context))
        said = [inference_pb2.Message(role=each.role, content=each.content) for each in messages]
        return sessions_pb2.GetSessionResponse(session=session_response(info), messages=said)

    async def delete_session(
        self, request: sessions_pb2.DeleteSessionRequest, context: grpc.aio.ServicerContext
    ) -> sessions_pb2.DeleteSessionResponse:
        """Forget one."""
        await self._sessions.delete(_key(request.session_id, context))
        return sessions_pb2.DeleteSessionResponse()


def _key(session_id: str, context: grpc.aio.ServicerContext) -> SessionKey:
    return SessionKey(tenant_of(context), session_name(session_id))
