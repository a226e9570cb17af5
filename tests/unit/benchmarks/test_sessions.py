"""The parts that the experiments with sessions are made of."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from autoglmd.engine.sequence import Sequence
from autoglmd.messages.sessions import PAGE_TOKENS, SessionKey
from autoglmd.sessions.log import Found
from autoglmd.sessions.prefixes import pages_of
from benchmarks.machine import file_system
from benchmarks.sessions import crowd, windows
from benchmarks.sessions.copying import TURN_TOKENS, Copying, median_seconds
from benchmarks.sessions.page_cache import drop
from benchmarks.sessions.returning import Returned
from benchmarks.sessions.stores import open_store, page_cuts
from benchmarks.sessions.turns import ask
from benchmarks.streams import Trace, rate_between
from openglm import AsyncClient, CacheTier, Started, Token
from tests.support.stepper import request


class FakeClient:
    """Tells where a session came from, then tokens, as long as it may."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    @asynccontextmanager
    async def stream(self, **asked: Any) -> AsyncIterator[AsyncIterator[object]]:
        """See `AsyncClient.stream`."""
        self.asked.append(asked)
        yield self._events(asked["max_tokens"])

    async def _events(self, max_tokens: int) -> AsyncIterator[object]:
        yield Started(prompt_tokens=12, cached_tokens=10, cache_tier=CacheTier.DISK)
        for number in range(max_tokens):
            await asyncio.sleep(0)
            yield Token(text="", ids=(number,), logprobs=())


@pytest.fixture
def client() -> FakeClient:
    """One that was asked nothing."""
    return FakeClient()


async def test_an_answer_says_when_its_first_token_came_and_where_its_past_was(client: FakeClient) -> None:
    """Time, tier and tokens are what the tables are made of."""
    answer = await ask(cast(AsyncClient, client), [5, 6], "s", 3)
    assert (answer.ids, answer.tier, answer.prompt_tokens, answer.cached_tokens) == ([0, 1, 2], "disk", 12, 10)
    assert 0 < answer.first < answer.whole
    assert client.asked[0]["session_id"] == "s"


@pytest.mark.parametrize(
    ("prompt", "field"), [("text", "prompt"), ([1, 2], "token_ids"), ([{"role": "user", "content": "x"}], "messages")]
)
async def test_a_prompt_goes_where_its_kind_belongs(client: FakeClient, prompt: Any, field: str) -> None:
    """Text, tokens or a chat; and without a session none is named."""
    await ask(cast(AsyncClient, client), prompt)
    assert client.asked[0][field] == prompt
    assert "session_id" not in client.asked[0]


def test_a_crowd_is_found_by_the_daemons_own_store(tmp_path: Path) -> None:
    """Each whole, with its keys and values, and in the catalog."""
    crowd.make(tmp_path, 12)
    store = open_store(tmp_path)
    found = store.load(SessionKey("uid:20007", "crowd 7"), crowd.MARK)
    assert isinstance(found, Found)
    assert (len(store.catalog.everything()), found.conversation.kv_tokens) == (12, crowd.TOKENS)
    store.close()


def test_files_are_as_they_were_when_the_kernel_forgot_them(tmp_path: Path) -> None:
    """Only the kernel's copies go."""
    file = tmp_path / "a" / "file"
    file.parent.mkdir()
    file.write_bytes(os.urandom(100_000))
    before = file.read_bytes()
    drop(tmp_path)
    assert file.read_bytes() == before


def test_what_is_done_before_each_time_is_not_counted() -> None:
    """It is done each time all the same."""
    before: list[int] = []
    assert median_seconds(3, lambda: None, lambda: before.append(sum(range(100_000)))) < 1e-3
    assert len(before) == 3


def test_a_row_has_room_for_everything_that_is_timed() -> None:
    """The conversation, a turn, and the longest step, to whole tiles."""
    copying = Copying("model", "folder", 2000, 100, steps=(2, 17))
    assert copying.context % 64 == 0
    assert copying.context >= 2000 + TURN_TOKENS + 17


@pytest.mark.parametrize("tokens", [1, 64, 65, 2000])
def test_keys_and_values_are_cut_as_the_daemon_cuts_them(tokens: int) -> None:
    """What is timed of a session's file is what the daemon writes: pages, and a rest."""
    pages = pages_of("", crowd.MARK, range(tokens - 1))
    asked = request("a", range(tokens))
    sequence = Sequence(replace(asked, keep_from=0, pages_until=PAGE_TOKENS * len(pages)))
    sequence.computed = tokens
    assert sequence.kept_cuts == page_cuts(tokens)


def test_a_rate_is_of_the_time_when_all_is_saved() -> None:
    """Answers that a disk still owes are not done."""
    done = Returned(seconds=4.0, answered=2.0, requests=8)
    assert done.rate == 2.0
    done.add(Returned(seconds=4.0, requests=16))
    assert done.rate == 3.0


def test_turns_come_as_early_as_late() -> None:
    """Streams get slower with their length; no turn is to be the later one."""
    assert windows.balanced(("a", "b"), 4) == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_a_stream_that_stood_still_has_no_rate() -> None:
    """A window without two tokens cannot be judged."""
    trace = Trace(arrivals=[0.0, 1.0, 2.0, 9.0])
    assert rate_between(trace, 0.0, 2.0) == 1.0
    with pytest.raises(ValueError, match="more tokens"):
        rate_between(trace, 2.5, 9.5)


async def test_what_goes_on_beside_streams_is_begun_and_ended_with_its_window(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn for itself, and the streams through all of them."""
    monkeypatch.setattr(windows, "SETTLE_SECONDS", 0.01)
    open_now: list[str] = []
    seen: list[list[str]] = []

    async def beside() -> None:
        open_now.append("beside")
        seen.append(list(open_now))
        try:
            await windows.nothing()
        finally:
            open_now.clear()

    turns = [("with", beside), ("without", windows.nothing), ("with", beside)]
    found = await windows.rates(cast(AsyncClient, client), [[1], [2]], 10**7, turns, seconds=0.02)
    assert {name: len(rates) for name, rates in found.items()} == {"with": 2, "without": 1}
    assert all(rate > 0 for rates in found.values() for rate in rates)
    assert seen == [["beside"], ["beside"]]


async def test_what_fails_beside_the_streams_ends_the_measurement(client: FakeClient) -> None:
    """Streams beside nothing would be another workload's."""

    async def fail() -> None:
        raise RuntimeError("no session")

    with pytest.raises(RuntimeError, match="no session"):
        await windows.rates(cast(AsyncClient, client), [[1]], 10**7, [("with", fail)], seconds=0.02)


async def test_requests_begin_in_time_and_are_waited_for_at_the_end() -> None:
    """A slow one holds up no other, and none is left behind for the next window."""
    begun, ended, third = [], [], asyncio.Event()

    async def once(number: int) -> None:
        begun.append(number)
        if number == 2:
            third.set()
        await asyncio.sleep(0.03)
        ended.append(number)

    task = asyncio.create_task(windows.every(0.01, once))
    await asyncio.wait_for(third.wait(), 10)
    assert len(ended) < len(begun)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended == begun


def test_the_file_system_is_the_one_that_lies_nearest(tmp_path: Path) -> None:
    """A folder on a mount below another is on that one."""
    mounts = f"/dev/a / ext4 rw 0 0\nsome {tmp_path} tmpfs rw 0 0\n/dev/b /elsewhere xfs rw 0 0\n"
    assert file_system(tmp_path / "folder", mounts) == "tmpfs on some"
    assert file_system(Path("/var"), mounts) == "ext4 on /dev/a"
