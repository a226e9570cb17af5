"""The blocking client against a real server on a Unix socket."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import openglm
from openglm import Client, Finished, FinishReason, Message, PrefillProgress, RetryPolicy, Started, Token
from openglm._answer_calls import StreamCall
from openglm.v1 import inference_pb2
from tests.support.scripted_server import (
    LIMIT_SECONDS,
    Hang,
    ScriptedServer,
    answer,
    finished,
    prefill,
    refusal,
    started,
    token,
)

FULL = refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=2.5, waiting=9, limit=8)
LOADING = refusal("UNAVAILABLE", "MODEL_NOT_READY", name="glm-small")
STEADY = RetryPolicy(jitter=lambda: 0.0)


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
def client(server: ScriptedServer, slept: list[float]) -> Iterator[Client]:
    """A client of it that does not really wait."""
    with Client(server.path, retry=STEADY, sleep=slept.append) as client:
        yield client


def test_generate_adds_the_tokens_up_to_a_completion(server: ScriptedServer, client: Client) -> None:
    """Text, ids, reason, usage and timings of the whole answer come back in one value."""
    server.play(answer("你", "好"))
    completion = client.generate("你是谁")
    assert (completion.text, completion.ids) == ("你好", (1, 2))
    assert completion.finish_reason is FinishReason.STOP
    assert completion.usage == openglm.Usage(prompt_tokens=3, output_tokens=2)
    assert completion.timings.total_ms == 6
    assert completion.started.seed == 7


def test_logprobs_come_back_one_per_id(server: ScriptedServer, client: Client) -> None:
    """A completion carries the log probability of each of its tokens."""
    server.play([started(), token("a", 5, logprob=-0.5), token("b", 6, logprob=-1.5), finished()])
    completion = client.generate("x", logprobs=0)
    assert [entry.chosen.logprob for entry in completion.logprobs] == [-0.5, -1.5]
    assert server.requests[0].sampling.HasField("logprobs")


def test_a_stream_yields_typed_events_in_order(server: ScriptedServer, client: Client) -> None:
    """Started, progress, tokens and Finished each have a type of their own."""
    server.play([started(), prefill(256, 512), token("a", 1), finished("LENGTH")])
    with client.stream("long") as stream:
        events = list(stream)
    assert [type(event) for event in events] == [Started, PrefillProgress, Token, Finished]
    assert events[1] == PrefillProgress(256, 512)


def test_a_chat_is_sent_as_messages(server: ScriptedServer, client: Client) -> None:
    """Messages may be values or mappings; both arrive as turns of a chat."""
    server.play(answer("ok"))
    client.chat([Message("system", "Be brief."), {"role": "user", "content": "hi"}])
    sent = server.requests[0].chat.messages
    assert [(turn.role, turn.content) for turn in sent] == [("system", "Be brief."), ("user", "hi")]


def test_only_what_was_given_is_sent(server: ScriptedServer, client: Client) -> None:
    """An option that is left out, or None, stays unset, so that the daemon's default holds."""
    server.play(answer("ok"))
    client.generate(token_ids=[1, 2], temperature=0.0, top_k=None, stop="!", max_tokens=5, model="m")
    request = server.requests[0]
    assert list(request.token_ids.ids) == [1, 2]
    assert request.sampling.HasField("temperature")
    assert not request.sampling.HasField("top_k")
    assert (list(request.stop), request.max_tokens, request.model) == (["!"], 5, "m")
    assert request.overflow == inference_pb2.OVERFLOW_UNSPECIFIED


def test_each_request_has_a_name_of_its_own(server: ScriptedServer, client: Client) -> None:
    """By which its answer can be asked for again; the caller's, if there is one."""
    server.play(answer("ok"), answer("ok"), answer("ok"))
    for options in ({}, {}, {"request_id": "mine"}):
        client.generate("x", **options)  # type: ignore[arg-type]
    first, second, third = (request.request_id for request in server.requests)
    assert len({first, second, ""}) == 3
    assert third == "mine"


def test_a_conversation_may_drop_what_is_oldest(server: ScriptedServer, client: Client) -> None:
    """The request asks for it, and Started says what was dropped; there is no other way than these."""
    server.play([started(dropped_messages=4, cache_miss="CACHE_MISS_CONTEXT_MOVED"), finished()])
    told = client.generate(messages=[], overflow="drop_oldest").started
    assert server.requests[0].overflow == inference_pb2.OVERFLOW_DROP_OLDEST
    assert (told.dropped_messages, told.cache_miss) == (4, openglm.CacheMiss.CONTEXT_MOVED)
    with pytest.raises(openglm.InvalidArgumentError, match="refuse, drop_oldest"):
        client.generate("x", overflow="newest")  # type: ignore[arg-type]


def test_the_trace_context_travels_as_metadata(server: ScriptedServer, client: Client) -> None:
    """A caller's traceparent reaches the daemon."""
    server.play(answer("ok"))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.generate("x", traceparent=trace)
    assert server.metadata[0]["traceparent"] == trace


def test_a_full_queue_is_retried_after_the_asked_delay(
    server: ScriptedServer, client: Client, slept: list[float]
) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo waits as long as the daemon says, then asks again."""
    server.play([FULL], answer("ok"))
    assert client.generate("x").text == "ok"
    assert slept == [2.5]


def test_unavailable_is_retried_with_growing_delays(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """UNAVAILABLE without a delay backs off by doubling."""
    server.play([LOADING], [LOADING], answer("ok"))
    assert client.generate("x").text == "ok"
    assert slept == [0.1, 0.2]


def test_retries_end_after_the_last_attempt(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """The fourth refusal is raised, with its numbers."""
    server.play(*[[FULL]] * 4)
    with pytest.raises(openglm.QueueFullError) as caught:
        client.generate("x")
    assert (caught.value.waiting, caught.value.limit, caught.value.retry_after) == (9, 8, 2.5)
    assert len(slept) == 3


def test_a_daemon_that_is_not_there_yet_is_waited_for(tmp_path: Path, slept: list[float]) -> None:
    """A request that was never sent may be sent again."""
    with (
        Client(tmp_path / "none", retry=STEADY, sleep=slept.append) as client,
        pytest.raises(openglm.DaemonNotRunningError),
    ):
        client.generate("x")
    assert slept == [0.1, 0.2, 0.4]


def test_a_bad_request_is_not_retried(server: ScriptedServer, client: Client, slept: list[float]) -> None:
    """INVALID_ARGUMENT is raised at once and names the field."""
    server.play([refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="sampling.top_p")])
    with pytest.raises(openglm.InvalidArgumentError) as caught:
        client.generate("x", top_p=3)
    assert (caught.value.field, slept) == ("sampling.top_p", [])


def test_a_too_long_prompt_carries_its_counts(server: ScriptedServer, client: Client) -> None:
    """The numbers of PROMPT_TOO_LONG arrive as numbers."""
    counts = refusal("OUT_OF_RANGE", "PROMPT_TOO_LONG", prompt_tokens=9000, output_tokens=100, limit_tokens=4096)
    server.play([counts])
    with pytest.raises(openglm.PromptTooLongError) as caught:
        client.generate("x")
    error = caught.value
    assert (error.prompt_tokens, error.output_tokens, error.limit_tokens) == (9000, 100, 4096)


def test_leaving_the_context_cancels_the_generation(server: ScriptedServer, client: Client) -> None:
    """The daemon learns that its reader has gone."""
    server.play([started(), token("a", 1), Hang()])
    with client.stream("x") as stream:
        assert next(stream.texts()) == "a"
    assert server.gone.wait(LIMIT_SECONDS)


def test_cancel_from_another_thread_ends_the_iteration(server: ScriptedServer, client: Client) -> None:
    """A blocked reader gets RequestCancelledError."""
    server.play([started(), Hang()])
    stream = client.stream("x")
    next(stream)
    threading.Thread(target=stream.cancel).start()
    with pytest.raises(openglm.RequestCancelledError):
        next(stream)


def test_cancelling_while_the_call_is_opened_ends_it(server: ScriptedServer, client: Client) -> None:
    """Another thread may cancel between the request's departure and the moment when the stream knows its call."""
    server.play([started(), Hang()])
    stream = client.stream("x")
    open_call = stream._open_call

    def open_and_cancel(wanted: StreamCall, timeout: float | None) -> Any:
        call = open_call(wanted, timeout)
        stream.cancel()
        return call

    stream._open_call = open_and_cancel
    with pytest.raises(openglm.RequestCancelledError):
        list(stream)
    # Either it never arrived, or it has been ended there.
    assert not server.requests or server.gone.wait(LIMIT_SECONDS)


def test_cancelling_ends_the_wait_for_another_try(server: ScriptedServer) -> None:
    """Nobody waits on for an answer that is not wanted any more."""
    server.play([refusal("RESOURCE_EXHAUSTED", "QUEUE_FULL", retry_after=29.0)])
    ended: queue.Queue[Exception] = queue.Queue()
    refused = threading.Event()

    def jitter() -> float:
        refused.set()
        return 0.0

    def read() -> None:
        try:
            next(stream)
        except openglm.OpenGLMError as error:
            ended.put(error)

    with Client(server.path, retry=RetryPolicy(jitter=jitter)) as client:
        stream = client.stream("x")
        threading.Thread(target=read, daemon=True).start()
        assert refused.wait(LIMIT_SECONDS)
        stream.cancel()
        assert isinstance(ended.get(timeout=10), openglm.RequestCancelledError)


def test_a_cancelled_stream_stays_cancelled(server: ScriptedServer, client: Client) -> None:
    """Cancelling before the first event means that no call is made at all."""
    stream = client.stream("x")
    stream.cancel()
    with pytest.raises(openglm.RequestCancelledError):
        next(stream)
    assert server.requests == []


def test_the_timeout_ends_a_silent_stream(server: ScriptedServer, client: Client) -> None:
    """The deadline travels with the call and is raised as DeadlineExceededError, a TimeoutError."""
    server.play([started(), Hang()])
    with pytest.raises(TimeoutError) as caught:
        client.generate("x", timeout=0.2)
    assert isinstance(caught.value, openglm.DeadlineExceededError)


def test_no_daemon_is_a_clear_error_with_the_remedy(tmp_path: Path, slept: list[float]) -> None:
    """Nobody at the address: the error names it, and says how to start one."""
    with (
        Client(tmp_path / "none", retry=STEADY, sleep=slept.append) as client,
        pytest.raises(openglm.DaemonNotRunningError, match=r"none: there is no such socket.*systemctl start autoglmd"),
    ):
        client.status()


def test_a_request_of_its_own_making_is_checked_before_it_is_sent(server: ScriptedServer, client: Client) -> None:
    """Values that the wire cannot carry are refused here, by the field's name."""
    with pytest.raises(openglm.InvalidArgumentError) as caught:
        client.generate("x", max_tokens=2**40)
    assert caught.value.field == "max_tokens"
    assert server.requests == []
