"""The `Sessions` service, and what a request in a session carries."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier, SessionKey
from openglm.v1 import inference_pb2, sessions_pb2
from tests.contract.conftest import Door
from tests.support.rich_status import reason


async def test_a_request_names_its_session_and_the_caller_is_its_tenant(door: Door) -> None:
    """Whoever comes by the socket is one tenant."""
    _ = [event async for event in door.inference.Generate(inference_pb2.GenerateRequest(prompt="a", session_id="家"))]
    _ = [event async for event in door.inference.Generate(inference_pb2.GenerateRequest(prompt="a"))]
    assert [request.session for request in door.gateway.requests] == [SessionKey("socket", "家"), None]


async def test_started_says_what_was_cached_and_why_not_more(door: Door) -> None:
    """Tier and reason by name."""
    cache = CacheReport(5, CacheTier.DISK, CacheMiss.DAMAGED)
    door.gateway.cache = cache
    events = [event async for event in door.inference.Generate(inference_pb2.GenerateRequest(prompt="a"))]
    started = events[0].started
    assert (started.cached_tokens, started.cache_tier, started.cache_miss) == (
        5,
        inference_pb2.CACHE_TIER_DISK,
        inference_pb2.CACHE_MISS_DAMAGED,
    )


async def test_sessions_are_listed_with_their_figures(door: Door) -> None:
    """The caller's own alone."""
    door.sessions.add("home")
    door.sessions.add("secret", tenant="certificate:eve")
    (session,) = (await door.session_stub.ListSessions(sessions_pb2.ListSessionsRequest())).sessions
    assert session == sessions_pb2.Session(
        session_id="home",
        model="glm-small",
        created=Timestamp(seconds=1_700_000_000, nanos=250_000_000),
        last_used=Timestamp(seconds=1_700_000_100, nanos=500_000_000),
        expires=Timestamp(seconds=1_700_003_700, nanos=500_000_000),
        turns=2,
        tokens=30,
        disk_bytes=4096,
        cached_tokens=29,
    )


async def test_a_session_is_shown_with_what_was_said(door: Door) -> None:
    """In order."""
    door.sessions.add("home")
    told = await door.session_stub.GetSession(sessions_pb2.GetSessionRequest(session_id="home"))
    assert told.session.session_id == "home"
    assert [(message.role, message.content) for message in told.messages] == [("user", "你好"), ("assistant", "hello")]


async def test_a_deleted_session_is_gone(door: Door) -> None:
    """A second delete finds none."""
    door.sessions.add("home")
    await door.session_stub.DeleteSession(sessions_pb2.DeleteSessionRequest(session_id="home"))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.DeleteSession(sessions_pb2.DeleteSessionRequest(session_id="home"))
    assert (failure.value.code(), reason(failure.value)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
async def test_a_name_that_is_none_is_refused(door: Door, name: str) -> None:
    """Naming the field."""
    for call in (
        door.session_stub.GetSession(sessions_pb2.GetSessionRequest(session_id=name)),
        door.session_stub.DeleteSession(sessions_pb2.DeleteSessionRequest(session_id=name)),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="session_id") as failure:
            await call
        assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
