"""Every test of the sessions is run twice: without a key, and with one."""

import pytest

from autoglmd.sessions.seal import Seal
from tests.support import session_stores
from tests.support.seals import SEAL_NAMES, SEALS


@pytest.fixture(name="seal", autouse=True, params=SEALS, ids=SEAL_NAMES)
def open_with_each_seal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Seal:
    """What the stores of this run are opened with."""
    seal: Seal = request.param
    monkeypatch.setattr(session_stores, "SEAL", seal)
    return seal
