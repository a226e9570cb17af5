"""The gateway while the daemon stops."""

import asyncio

import pytest

from autoglmd.errors.availability import DrainingError
from autoglmd.messages.generation import FinishReason, TextPrompt
from tests.support.gateway_rig import LIMIT_SECONDS, GatewayRig, end_of


async def test_draining_lets_streams_finish_and_lets_nobody_in(rig: GatewayRig) -> None:
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


async def test_the_drain_limit_ends_everyone_with_shutdown(rig: GatewayRig) -> None:
    """Running, prefetched and in line: each stream gets its Finished(SHUTDOWN) with the error that says why."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    assert await rig.gateway.drain(0) == 6
    rig.runner.gate.set()
    for finished in map(end_of, await asyncio.gather(*tasks)):
        assert finished.reason is FinishReason.SHUTDOWN
        assert isinstance(finished.error, DrainingError)


async def test_a_drain_can_be_cut_short(rig: GatewayRig) -> None:
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


async def test_draining_an_idle_gateway_takes_no_time(rig: GatewayRig) -> None:
    """With nobody there the limit does not matter."""
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await rig.gateway.drain(3600) == 0
