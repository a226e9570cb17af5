"""What the gateway's tests share."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.gateway_rig import LIMIT_SECONDS, GatewayRig


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[GatewayRig]:
    """A rig whose engine ends with nothing left, whatever the test did."""
    rig = GatewayRig()
    yield rig
    rig.runner.gate.set()
    assert await asyncio.to_thread(rig.served.stop, LIMIT_SECONDS)
    stats = rig.served.engine.stats
    assert stats.requests_started == stats.requests_finished
    assert (stats.rows_in_use, stats.waiting) == (0, 0)
    rig.assert_empty()
