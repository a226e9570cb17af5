"""What the tests of the gateway and of the journal's thread share."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.gateway_rig import LIMIT_SECONDS, GatewayRig
from tests.support.journal_rig import OpenRig, Rig


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


@pytest.fixture(name="open_rig")
def make_rigs(tmp_path: Path) -> Iterator[OpenRig]:
    """Rigs that are stopped afterwards."""
    rigs: list[Rig] = []

    def make(**settings: float) -> Rig:
        rigs.append(Rig(tmp_path, **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.journal.fault = None
        rig.journal.gate.set()
        rig.thread.stop(LIMIT_SECONDS)
        rig.journal.close()
