"""The daemon under the race's workloads, with a fake of its client."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from benchmarks.job import Job
from benchmarks.served import Load
from benchmarks.streams import decode_together
from openglm import AsyncClient, OpenGLMError, Token


class FakeClient:
    """Streams a token a step, as long as it may; a prompt that begins with 0 fails."""

    def __init__(self) -> None:
        self.open = 0
        self.asked: list[tuple[int, int]] = []

    @asynccontextmanager
    async def stream(self, token_ids: Sequence[int], max_tokens: int, **_: Any) -> AsyncIterator[AsyncIterator[Token]]:
        """See `AsyncClient.stream`."""
        self.asked.append((len(token_ids), max_tokens))
        self.open += 1
        try:
            yield self._tokens(token_ids, max_tokens)
        finally:
            self.open -= 1

    async def _tokens(self, token_ids: Sequence[int], max_tokens: int) -> AsyncIterator[Token]:
        if token_ids[0] == 0:
            raise OpenGLMError("a broken prompt")
        for number in range(max_tokens):
            await asyncio.sleep(0)  # the other streams' turn
            yield Token(text="", ids=(number,), logprobs=())


@pytest.fixture
def client() -> FakeClient:
    """One without requests."""
    return FakeClient()


@pytest.fixture
def load(client: FakeClient) -> Iterator[Load]:
    """Requests to the fake."""
    with asyncio.Runner() as runner:
        yield Load(runner, cast(AsyncClient, client))


def test_the_daemon_runs_every_workload_of_the_race(load: Load, client: FakeClient) -> None:
    """Under the same keys as the engines; and it leaves no stream open for the next workload."""
    job = Job("autoglmd", "model", 100, decode_streams=(1, 2), prefill_tokens=(16,), decode_tokens=12)
    figures = load.figures(job)
    assert set(figures.rates) == {"prefill_16", "decode_1", "decode_2"}
    assert all(rate > 0 for rate in figures.rates.values())
    assert all(64 + 4 <= past <= 64 + 12 for past in figures.mean_past.values())
    assert client.open == 0


def test_a_prefill_is_timed_alone_and_to_its_first_token(load: Load, client: FakeClient) -> None:
    """One prompt after the other, one token each."""
    seconds, token = load.prefill([1, 2, 3])
    assert (client.asked, token) == ([(3, 1)], 0)
    assert seconds > 0


def test_streams_end_once_enough_seconds_are_counted(load: Load, client: FakeClient) -> None:
    """They are cancelled, however many tokens they still had."""
    rate, _ = load.decode_rate([[1], [2]], Job("autoglmd", "model", 100, decode_tokens=10**6, decode_seconds=0.01))
    assert rate > 0
    assert client.open == 0


def test_a_stream_that_fails_ends_the_measurement(client: FakeClient) -> None:
    """A rate without it would be another workload's."""
    decoding = decode_together(cast(AsyncClient, client), [[0], [1]], 10**6, warm_tokens=4, seconds=60)
    with pytest.raises(OpenGLMError, match="a broken prompt"):
        asyncio.run(decoding)


def test_the_daemons_tokens_are_compared_only_when_asked(load: Load, client: FakeClient) -> None:
    """The race does not pay for it."""
    assert load.greedy_tokens(Job("autoglmd", "model", 100)) == []
    assert client.asked == []
