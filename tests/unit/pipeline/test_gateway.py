"""The gateway: streams open, end and leave nothing behind, whoever ends them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from autoglmd.errors import (
    DrainingError,
    ModelNotFoundError,
    ModelNotReadyError,
    PromptTooLongError,
    QueueFullError,
    RequestIdInUseError,
)
from autoglmd.host.clock import SystemClock
from autoglmd.messages import (
    Finished,
    FinishReason,
    GenerationRequest,
    ModelState,
    SamplingParams,
    Started,
    StreamEvent,
    TextPrompt,
    TokenPrompt,
    TokenText,
)
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.router import Router
from tests.support.fake_runner import expected_tokens
from tests.support.fake_served import CONTEXT, make_runner, serve
from tests.support.fixture_models import VOCABULARY

LIMIT_SECONDS = 10.0
PROMPT = (7, 8, 9)


def no_status(_gateway: Gateway) -> None:
    """The status is the app's; not needed here."""


class Rig:
    """A gateway over one fake model of two rows and four places."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.router = Router(asyncio.get_running_loop())
        self.runner = make_runner()
        self.served = serve("tiny", self.runner, self.router, clock)
        self.catalog = Catalog(("tiny", "other"), "tiny")
        self.catalog.add(self.served)
        self.gateway = Gateway(self.catalog, self.router, clock, no_status)  # type: ignore[arg-type]

    def request(self, name: str, max_tokens: int | None = 5, **changes: object) -> GenerationRequest:
        """A request with three prompt tokens."""
        arrived = SystemClock().monotonic()
        made = GenerationRequest(
            name, "", TokenPrompt(PROMPT), SamplingParams(), max_tokens, (), False, None, arrived, "t"
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    async def read(self, request: GenerationRequest) -> list[StreamEvent]:
        """A whole stream."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.generate(request)]

    def start(self, name: str, max_tokens: int = 100) -> "asyncio.Task[list[StreamEvent]]":
        """A stream in the background."""
        return asyncio.create_task(self.read(self.request(name, max_tokens)))

    async def hold(self) -> None:
        """Stop the engine in its next run. Only with something to run."""
        self.runner.reached.clear()
        self.runner.gate.clear()

    async def wait_held(self) -> None:
        """Wait until it is there."""
        assert await asyncio.to_thread(self.runner.reached.wait, LIMIT_SECONDS)

    async def settle(self) -> None:
        """Until the engine has ended everyone."""
        async with asyncio.timeout(LIMIT_SECONDS):
            stats = self.served.engine.stats
            while stats.requests_finished < stats.requests_started:
                stats = self.served.engine.stats
                await asyncio.sleep(0)

    def assert_empty(self) -> None:
        """Nobody is open, and the door, the router and the line know of nobody."""
        assert self.gateway.admission.count == 0
        assert self.router._listeners == {}
        assert self.served.line._open == 0


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """A rig whose engine ends with nothing left, whatever the test did."""
    rig = Rig()
    yield rig
    rig.runner.gate.set()
    assert await asyncio.to_thread(rig.served.stop, LIMIT_SECONDS)
    stats = rig.served.engine.stats
    assert stats.requests_started == stats.requests_finished
    assert (stats.rows_in_use, stats.waiting) == (0, 0)
    rig.assert_empty()


def end_of(events: list[StreamEvent]) -> Finished:
    """The one Finished of a stream that began with Started."""
    assert isinstance(events[0], Started)
    assert [isinstance(event, Started | Finished) for event in events].count(True) == 2
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_a_request_becomes_a_stream_of_text(rig: Rig) -> None:
    """Started, the answer's tokens, Finished; afterwards nothing is left of it."""
    events = await rig.read(rig.request("r"))
    ids = [token for event in events if isinstance(event, TokenText) for token in event.ids]
    assert ids == expected_tokens(PROMPT, 5, VOCABULARY)
    assert end_of(events).reason is FinishReason.LENGTH
    rig.assert_empty()


async def test_an_id_can_be_used_again_as_soon_as_its_stream_is_closed(rig: Rig) -> None:
    """A client that leaves in the middle and asks again under the same id gets the new answer, not the old one's."""
    first = rig.gateway.generate(rig.request("r", 100))
    assert isinstance(await anext(first), Started)
    await first.aclose()
    events = await rig.read(rig.request("r", 3))
    ids = [token for event in events if isinstance(event, TokenText) for token in event.ids]
    assert ids == expected_tokens(PROMPT, 3, VOCABULARY)
    assert end_of(events).reason is FinishReason.LENGTH


async def test_a_client_that_leaves_before_its_turn_leaves_nothing(rig: Rig) -> None:
    """Cancelling the task that waits for the first event gives everything back."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*tasks, return_exceptions=True)
    )
    rig.assert_empty()
    rig.runner.gate.set()
    await rig.settle()
    assert rig.served.engine.stats.output_tokens <= len(rig.runner.kv), "only the step that was running"


async def test_a_running_request_can_be_cancelled_by_its_id(rig: Rig) -> None:
    """Its stream ends with CANCELLED; another's does not."""
    await rig.hold()
    gone, kept = rig.start("gone"), rig.start("kept", 5)
    await rig.wait_held()
    assert rig.gateway.cancel("gone")
    rig.runner.gate.set()
    assert end_of(await gone).reason is FinishReason.CANCELLED
    assert end_of(await kept).reason is FinishReason.LENGTH
    assert not rig.gateway.cancel("gone")


async def test_a_request_far_back_in_the_line_is_cancelled_at_once(rig: Rig) -> None:
    """It ends although rows, prefetched places and the engine are all held up by others."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    assert rig.gateway.cancel("r5")
    finished = end_of(await tasks[5])
    assert finished.reason is FinishReason.CANCELLED
    assert (finished.usage.prompt_tokens, finished.usage.output_tokens) == (0, 0)
    rig.runner.gate.set()
    assert {end_of(events).reason for events in await asyncio.gather(*tasks[:5])} == {FinishReason.LENGTH}


async def test_everyone_without_a_row_is_counted_as_waiting(rig: Rig) -> None:
    """Also those whom the engine does not know yet, because no more than two are prefetched."""
    await rig.hold()
    tasks = [rig.start(f"r{number}", 3) for number in range(6)]
    await rig.wait_held()
    stats = rig.served.stats
    assert (stats.waiting, stats.rows_in_use) == (6, 0)  # as of the last step, which gave nobody a row
    rig.runner.gate.set()
    await asyncio.gather(*tasks)
    assert rig.served.stats.waiting == 0


async def test_a_full_line_refuses_before_the_first_event(rig: Rig) -> None:
    """Two rows and four places are taken; the seventh is told so and takes nothing."""
    await rig.hold()
    tasks = [rig.start(f"r{number}", 3) for number in range(6)]
    await rig.wait_held()
    with pytest.raises(QueueFullError):
        await rig.read(rig.request("late"))
    rig.runner.gate.set()
    await asyncio.gather(*tasks)
    assert end_of(await rig.read(rig.request("late"))).reason is FinishReason.LENGTH


async def test_a_running_id_is_refused_and_the_running_one_goes_on(rig: Rig) -> None:
    """The refusal of the second does not close the first."""
    await rig.hold()
    task = rig.start("r", 3)
    await rig.wait_held()
    with pytest.raises(RequestIdInUseError):
        await rig.read(rig.request("r"))
    rig.runner.gate.set()
    assert end_of(await task).reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "nobody"}, ModelNotFoundError),
        ({"model": "other"}, ModelNotReadyError),
        ({"prompt": TokenPrompt((1,) * (CONTEXT + 1))}, PromptTooLongError),
        ({"max_tokens": CONTEXT}, PromptTooLongError),
    ],
)
async def test_what_cannot_be_served_is_refused_and_leaves_nothing(
    rig: Rig, changes: dict[str, object], error: type[Exception]
) -> None:
    """Unknown, not loaded, too long: raised before the first event."""
    with pytest.raises(error):
        await rig.read(rig.request("r", **changes))  # type: ignore[arg-type]
    rig.assert_empty()


async def test_a_deadline_ends_the_stream(rig: Rig) -> None:
    """A deadline that has passed ends the request with DEADLINE at the engine's next step."""
    events = await rig.read(rig.request("r", 100, deadline=SystemClock().monotonic()))
    assert end_of(events).reason is FinishReason.DEADLINE


async def test_a_stop_string_frees_the_row(rig: Rig) -> None:
    """The stream finishes with its stop string, and the engine is told to go no further."""
    ids = expected_tokens(PROMPT, 100, VOCABULARY)
    text = rig.served.rules.tokenizer.decode(ids)
    stop = next(text[start : start + 3] for start in range(20, 60) if text[start : start + 3].isascii())
    events = await rig.read(rig.request("r", 100, stop=(stop,)))
    assert (end_of(events).reason, end_of(events).stop) == (FinishReason.STOP, stop)


async def test_draining_lets_streams_finish_and_lets_nobody_in(rig: Rig) -> None:
    """Within the limit a drain ends nobody, and waits for all."""
    await rig.hold()
    task = rig.start("r", 3)
    await rig.wait_held()
    drain = asyncio.create_task(rig.gateway.drain(LIMIT_SECONDS))
    await asyncio.sleep(0)
    with pytest.raises(DrainingError):
        await rig.read(rig.request("late"))
    with pytest.raises(DrainingError):
        await rig.gateway.tokenize("", TextPrompt("late"))
    rig.runner.gate.set()
    assert end_of(await task).reason is FinishReason.LENGTH
    assert await drain == 0


async def test_the_drain_limit_ends_everyone_with_shutdown(rig: Rig) -> None:
    """Running, prefetched and in line: each stream gets its Finished(SHUTDOWN) with the error that says why."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    assert await rig.gateway.drain(0) == 6
    rig.runner.gate.set()
    for finished in map(end_of, await asyncio.gather(*tasks)):
        assert finished.reason is FinishReason.SHUTDOWN
        assert isinstance(finished.error, DrainingError)


async def test_a_drain_can_be_cut_short(rig: Rig) -> None:
    """Ending everyone ends the wait for them, too."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(4)]
    await rig.wait_held()
    drain = asyncio.create_task(rig.gateway.drain(3600))
    await asyncio.sleep(0)
    rig.gateway.end_all()
    rig.runner.gate.set()
    assert {end_of(events).reason for events in await asyncio.gather(*tasks)} == {FinishReason.SHUTDOWN}
    assert await drain == 0


async def test_draining_an_idle_gateway_takes_no_time(rig: Rig) -> None:
    """With nobody there the limit does not matter."""
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await rig.gateway.drain(3600) == 0


async def test_tokenize_gives_ids_and_pieces_of_a_prompt(rig: Rig) -> None:
    """Each id has its piece of text; the pieces of whole characters make the text again."""
    tokens = await rig.gateway.tokenize("", TextPrompt("hello there"))
    assert "".join(tokens.pieces) == "hello there"
    assert len(tokens.ids) == len(tokens.pieces)


async def test_the_catalog_is_what_the_operator_sees(rig: Rig) -> None:
    """Models are listed in the configuration's order, each with its state."""
    assert [(info.name, info.state) for info in rig.gateway.models()] == [
        ("tiny", ModelState.READY),
        ("other", ModelState.LOADING),
    ]
    assert rig.gateway.model("").name == "tiny"
