"""autoglmctl status --wait: until when it asks."""

import time
from typing import cast

import pytest

from autoglmctl.status import _when_serving
from openglm import Client, DaemonNotRunningError, DaemonState, DaemonStatus


def status(state: str) -> DaemonStatus:
    """What a daemon in this state says."""
    return DaemonStatus("1", DaemonState(state), 1.0, 1, 1, "1", (), (), (), 0, 0)


class Box:
    """A box whose daemon is a step further with each client; stands in for all of them."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def connect(self) -> Client:
        """What a command would call for a client."""
        return cast("Client", self)

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> None:
        self.states.pop(0)

    def status(self) -> DaemonStatus:
        """No answer where the state is empty."""
        if not self.states[0]:
            raise DaemonNotRunningError("Nobody is there.")
        return status(self.states[0])


def test_each_try_looks_for_the_daemon_anew() -> None:
    """It may come up at another of the default places than the one that a first client would have settled on."""
    box = Box("", "starting", "serving", "never")
    assert _when_serving(box.connect, time.monotonic() + 60).state == "serving"
    assert box.states == ["never"]


def test_without_time_left_there_is_one_try() -> None:
    """Its answer, or that there was none, is the command's."""
    assert _when_serving(Box("starting").connect, time.monotonic()).state == "starting"
    with pytest.raises(DaemonNotRunningError):
        _when_serving(Box("").connect, time.monotonic())
