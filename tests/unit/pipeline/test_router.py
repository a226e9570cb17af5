"""Events cross from the engine's thread to the loop, each to its stream."""

import asyncio
import threading

import pytest

from autoglmd.engine.sequence import Admitted, EngineEvent
from autoglmd.pipeline.router import Router


async def test_each_listener_hears_its_own_events_on_the_loop() -> None:
    """Events of others, and of nobody, are not heard."""
    router = Router(asyncio.get_running_loop())
    heard: dict[str, list[EngineEvent]] = {"a": [], "b": []}
    threads = set()

    def listener(name: str, event: EngineEvent) -> None:
        threads.add(threading.get_ident())
        heard[name].append(event)

    router.listen("a", lambda event: listener("a", event))
    router.listen("b", lambda event: listener("b", event))
    events = tuple(Admitted(name, 0.0) for name in "axb")
    await asyncio.to_thread(router.deliver, events)
    await asyncio.sleep(0)
    assert heard == {"a": [events[0]], "b": [events[2]]}
    assert threads == {threading.get_ident()}


async def test_nothing_is_heard_after_forgetting() -> None:
    """What was already on its way to a closed stream is dropped."""
    router = Router(asyncio.get_running_loop())
    heard: list[EngineEvent] = []
    router.listen("a", heard.append)
    router.deliver((Admitted("a", 0.0),))
    router.forget("a")
    router.forget("a")
    await asyncio.sleep(0)
    assert heard == []


def test_a_closed_loop_is_nobody_to_tell() -> None:
    """An engine that outlives the loop by a step does not die of it."""
    loop = asyncio.new_event_loop()
    router = Router(loop)
    heard: list[EngineEvent] = []
    router.listen("a", heard.append)
    loop.close()
    router.deliver((Admitted("a", 0.0),))
    assert heard == []


async def test_a_listener_that_breaks_takes_nobody_along(caplog: pytest.LogCaptureFixture) -> None:
    """The streams behind it in the same step hear what is theirs, and the log has the rest."""
    router = Router(asyncio.get_running_loop())
    heard: list[EngineEvent] = []

    def break_down(_: EngineEvent) -> None:
        raise RuntimeError("no")

    router.listen("a", break_down)
    router.listen("b", heard.append)
    router.deliver((Admitted("a", 0.0), Admitted("b", 0.0)))
    await asyncio.sleep(0)
    assert len(heard) == 1
    assert "not heard" in caplog.text
