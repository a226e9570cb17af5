"""A session's file on its way from the daemon, or to it."""

import io
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoglmctl.session_files import _imported, _saved, _write_out

LIMIT_SECONDS = 10.0


class Transfer:
    """An export or a client, whose file never ends; Ctrl-C is pressed meanwhile."""

    def __init__(self) -> None:
        self.is_cancelled = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.save()
        return iter(())

    def save(self, *_: object) -> int:
        """Press it, and wait for what it should do."""
        signal.raise_signal(signal.SIGINT)
        assert self.is_cancelled.wait(LIMIT_SECONDS)
        raise InterruptedError

    def cancel(self) -> None:
        """End it. gRPC's locks may be held in the main thread."""
        assert threading.current_thread() is not threading.main_thread()
        self.is_cancelled.set()

    import_session, close = save, cancel


WAYS: dict[str, Callable[[Any], object]] = {
    "to a pipe": _write_out,
    "to a file": lambda pieces: _saved(pieces, Path("x"), print),
    "from a file": lambda client: _imported(client, "home", io.BytesIO(), "-"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_cancels_a_transfer_from_a_thread_of_its_own(way: str) -> None:
    """Whoever is in the middle of the call is not torn out of it."""
    transfer = Transfer()
    with pytest.raises(KeyboardInterrupt):
        WAYS[way](transfer)
    assert transfer.is_cancelled.is_set()
