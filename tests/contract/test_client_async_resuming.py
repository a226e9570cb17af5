"""Lost answers with the asyncio client; what is shared is tested with the blocking one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import openglm
from openglm import AsyncClient, ConnectionLostError, Event, Finished, FinishReason, RetryPolicy, Started, Token
from openglm.v1 import inference_pb2
from tests.support.lost_answers import BEGUN, DRAINING, FULL, GONE, STEADY, kinds, server
from tests.support.scripted_server import LOST, Hang, ScriptedServer, finished, started, token

__all__ = ["server"]


@pytest.fixture(name="client")
async def make_client(server: ScriptedServer) -> AsyncIterator[AsyncClient]:
    """A client of it that does not really wait."""

    async def sleep(_: float) -> None:
        """Not at all."""

    async with AsyncClient(server.path, retry=STEADY, sleep=sleep) as client:
        yield client


@pytest.mark.parametrize("loss", [[LOST], [finished("SHUTDOWN"), DRAINING], []])
@pytest.mark.parametrize("session", ["", "home"])
async def test_the_caller_sees_one_stream(
    server: ScriptedServer, client: AsyncClient, session: str, loss: list[Any]
) -> None:
    """One Started, no gap, no repeat, one Finished."""
    again = [] if session else [token("a", 1)]
    server.play([*BEGUN, *loss], [FULL], [started(), *again, token("b", 2), finished()])
    events = [event async for event in client.stream("x", session_id=session)]
    assert [type(event) for event in events] == [Started, Token, Token, Finished]
    assert "".join(event.text for event in events if isinstance(event, Token)) == "ab"


async def test_a_rest_that_cannot_be_had_is_said(server: ScriptedServer, client: AsyncClient) -> None:
    """And stays said."""
    server.play([*BEGUN, LOST], [GONE])
    stream = client.stream("x", session_id="home")
    with pytest.raises(ConnectionLostError, match="1 tokens"):
        await stream.completion()
    with pytest.raises(ConnectionLostError):
        await anext(stream)


async def test_a_connection_that_ends_behind_finished_took_nothing_away(
    server: ScriptedServer, client: AsyncClient
) -> None:
    """The answer is whole."""
    server.play([*BEGUN, finished(), LOST])
    assert (await client.generate("x")).finish_reason is FinishReason.STOP


async def test_cancelling_ends_the_wait_for_the_daemon(server: ScriptedServer) -> None:
    """At once."""
    server.play([*BEGUN, LOST], [FULL])
    waiting = asyncio.Event()
    policy = RetryPolicy(before_wait=lambda error, _: waiting.set() if error.retry_after else None)
    async with AsyncClient(server.path, retry=policy) as client, asyncio.timeout(10):
        stream = client.stream("x")
        reader = asyncio.create_task(_all(stream))
        await waiting.wait()
        stream.cancel()
        with pytest.raises(openglm.RequestCancelledError):
            await reader
    assert kinds(server) == "GG"


async def test_anybody_may_take_a_sessions_answer_up(server: ScriptedServer, client: AsyncClient) -> None:
    """Of one request, if it is named; and leave it again."""
    server.play([started(), token("c", 3), Hang()])
    async with client.resume("home", 2, "r9", timeout=20) as stream:
        assert [type(await anext(stream)) for _ in range(2)] == [Started, Token]
    assert server.requests == [inference_pb2.ResumeRequest(session_id="home", after_token=2, request_id="r9")]


async def _all(stream: openglm.AsyncCompletionStream) -> list[Event]:
    return [event async for event in stream]
