"""The asyncio client against a real server on a Unix socket; what is shared is tested with the blocking one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import openglm
from openglm import AsyncClient, AsyncCompletionStream, Event, Finished, RetryPolicy, Started, Token
from openglm.v1 import admin_pb2, inference_pb2, models_pb2
from tests.support.scripted_server import LIMIT_SECONDS, Hang, ScriptedServer, answer, finished, refusal, started, token

FULL = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=2.5, waiting=9, limit=8)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    """The waits between tries, in seconds, in order."""
    return []


@pytest.fixture
async def client(server: ScriptedServer, slept: list[float]) -> AsyncIterator[AsyncClient]:
    """A client of it that does not really wait."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with AsyncClient(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=sleep) as client:
        yield client


async def test_generate_adds_the_tokens_up_to_a_completion(server: ScriptedServer, client: AsyncClient) -> None:
    """The awaited answer is whole."""
    server.play(answer("你", "好"))
    completion = await client.generate("你是谁")
    assert (completion.text, completion.ids) == ("你好", (1, 2))


async def test_a_stream_yields_typed_events_in_order(server: ScriptedServer, client: AsyncClient) -> None:
    """The same events as the blocking client's."""
    server.play(answer("a"))
    async with client.stream("x") as stream:
        assert [type(event) async for event in stream] == [Started, Token, Finished]


async def test_the_daemons_finished_comes_before_its_error(server: ScriptedServer, client: AsyncClient) -> None:
    """As with the blocking client."""
    server.play([started(), finished("ERROR"), refusal("INTERNAL", "ENGINE_FAILED")])
    stream = client.stream("x")
    assert [type(await anext(stream)) for _ in range(2)] == [Started, Finished]
    with pytest.raises(openglm.EngineFailedError):
        await anext(stream)


async def test_a_stream_that_its_deadline_cut_off_has_its_finished_too(
    server: ScriptedServer, client: AsyncClient
) -> None:
    """As with the blocking client."""
    server.play([started(), token("a", 1), Hang()])
    stream = client.stream("x", timeout=0.3)
    assert [type(await anext(stream)) for _ in range(3)] == [Started, Token, Finished]
    with pytest.raises(openglm.DeadlineExceededError):
        await anext(stream)


async def test_texts_yields_the_pieces_alone(server: ScriptedServer, client: AsyncClient) -> None:
    """Who wants text only, gets text only."""
    server.play(answer("a", "b"))
    async with client.stream(messages=[{"role": "user", "content": "x"}]) as stream:
        assert [text async for text in stream.texts()] == ["a", "b"]


async def test_streams_run_side_by_side(server: ScriptedServer, client: AsyncClient) -> None:
    """Many calls share one connection."""
    server.play(*[answer("ok")] * 6)
    completions = await asyncio.gather(*(client.generate(f"{n}") for n in range(6)))
    assert [completion.text for completion in completions] == ["ok"] * 6


async def test_a_full_queue_is_retried_after_the_asked_delay(
    server: ScriptedServer, client: AsyncClient, slept: list[float]
) -> None:
    """RetryInfo is honoured."""
    server.play([FULL], answer("ok"))
    completion = await client.generate("x")
    assert (completion.text, slept) == ("ok", [2.5])


async def test_leaving_the_context_cancels_the_generation(server: ScriptedServer, client: AsyncClient) -> None:
    """The daemon learns that its reader has gone."""
    server.play([started(), token("a", 1), Hang()])
    async with client.stream("x") as stream:
        await anext(stream)
    assert await asyncio.to_thread(server.gone.wait, LIMIT_SECONDS)


async def test_cancelling_the_task_cancels_the_generation(server: ScriptedServer, client: AsyncClient) -> None:
    """Asyncio's own cancellation reaches the daemon, and stays asyncio's."""
    server.play([started(), Hang()])
    stream = client.stream("x")
    await anext(stream)
    task = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.gone.wait, LIMIT_SECONDS)


async def test_a_cancelled_stream_raises_the_typed_error(server: ScriptedServer, client: AsyncClient) -> None:
    """`cancel` is ours, so its reader gets our error."""
    server.play([started(), Hang()])
    stream = client.stream("x")
    await anext(stream)
    stream.cancel()
    with pytest.raises(openglm.RequestCancelledError):
        await anext(stream)


async def cancel_stream(stream: AsyncCompletionStream, client: AsyncClient) -> None:
    """As another task of the same program does."""
    stream.cancel()


async def close_client(stream: AsyncCompletionStream, client: AsyncClient) -> None:
    """As a program does that ends while an answer comes."""
    await client.close()


@pytest.mark.parametrize("end", [cancel_stream, close_client])
async def test_a_waiting_reader_gets_the_typed_error(
    server: ScriptedServer, client: AsyncClient, end: Callable[[AsyncCompletionStream, AsyncClient], Awaitable[None]]
) -> None:
    """A call that ends under its reader is not the reader's own cancellation, which a task group would swallow."""
    server.play([started(), Hang()])
    stream = client.stream("x")
    await anext(stream)
    reader = asyncio.create_task(_next(stream))
    await asyncio.sleep(0)
    await end(stream, client)
    with pytest.raises(openglm.RequestCancelledError):
        await reader


async def test_closing_the_client_ends_a_question_with_the_typed_error(
    server: ScriptedServer, client: AsyncClient
) -> None:
    """Calls with one answer, too."""
    server.answer("Status", Hang())
    asked = asyncio.create_task(client.status())
    await asyncio.to_thread(server.asked.wait, LIMIT_SECONDS)
    await client.close()
    with pytest.raises(openglm.RequestCancelledError):
        await asked


async def test_cancelling_ends_the_wait_for_another_try(server: ScriptedServer) -> None:
    """Nobody waits on for an answer that is not wanted any more."""
    server.play([refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=29.0)])
    refused = asyncio.Event()

    def jitter() -> float:
        refused.set()
        return 0.0

    async with AsyncClient(server.path, retry=RetryPolicy(jitter=jitter)) as client, asyncio.timeout(10):
        stream = client.stream("x")
        reader = asyncio.create_task(_next(stream))
        await refused.wait()
        stream.cancel()
        with pytest.raises(openglm.RequestCancelledError):
            await reader


async def _next(stream: AsyncCompletionStream) -> Event:
    return await anext(stream)


async def test_the_other_calls_answer_with_values(server: ScriptedServer, client: AsyncClient) -> None:
    """Tokenize, models, model, status and cancel."""
    model = models_pb2.Model(name="glm-small", state=models_pb2.MODEL_STATE_READY)
    server.answer("Tokenize", inference_pb2.TokenizeResponse(ids=[4, 5], pieces=["a", "b"]))
    server.answer("ListModels", models_pb2.ListModelsResponse(models=[model]))
    server.answer("GetModel", models_pb2.GetModelResponse(model=model))
    server.answer("Status", admin_pb2.StatusResponse(pid=42))
    server.answer("Cancel", inference_pb2.CancelResponse(cancelled=True))
    assert await client.tokenize("ab") == openglm.TokenizedText((4, 5), ("a", "b"))
    assert [found.name for found in await client.models()] == ["glm-small"]
    assert (await client.model()).state is openglm.ModelState.READY
    assert (await client.status()).pid == 42
    assert await client.cancel("r1") is True


async def test_a_unary_call_is_retried_too(server: ScriptedServer, client: AsyncClient, slept: list[float]) -> None:
    """A question that was refused for now is asked again."""
    server.answer("Status", refusal("UNAVAILABLE", "DRAINING"), admin_pb2.StatusResponse(pid=42))
    assert (await client.status()).pid == 42
    assert slept == [0.1]


def test_a_client_may_be_made_before_the_loop_runs(server: ScriptedServer) -> None:
    """The connection belongs to the loop of the first call, not to the place of construction."""
    client = AsyncClient(server.path)
    server.play(answer("ok"))

    async def ask() -> str:
        async with client:
            return (await client.chat([openglm.Message("user", "x")])).text

    assert asyncio.run(ask()) == "ok"
