"""Ctrl-C while an answer comes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cancelled_by_ctrl_c(cancel: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C in the block calls `cancel`; KeyboardInterrupt comes at the block's end, whatever else that would raise.

    gRPC holds locks that its own threads wait for. An exception that begins between any two of its instructions can
    leave one of them held for ever, or be replaced by another that is not caught as Ctrl-C. A second Ctrl-C raises
    at once nevertheless: somebody insists.

    Args:
        cancel: ends what the block waits for. Called from a thread of its own.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        # As a shell starts what it runs in the background.
        yield
        return
    pressed = threading.Event()

    def press(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        threading.Thread(target=cancel, daemon=True).start()

    signal.signal(signal.SIGINT, press)
    try:
        yield
    except Exception:
        if not pressed.is_set():
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        raise KeyboardInterrupt
