"""Ctrl-C while an answer comes."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INSISTS_AFTER_SECONDS = 1.0
"""A terminal and a wrapper may both deliver one Ctrl-C; whoever waits for this long and presses again means it."""
_CANCEL_SECONDS = 1.0


@contextmanager
def cancelled_by_ctrl_c(cancel: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C in the block calls `cancel`; KeyboardInterrupt comes at the block's end, whatever else that would raise.

    gRPC holds locks that its own threads wait for. An exception that begins between any two of its instructions can
    leave one of them held for ever, or be replaced by another that is not caught as Ctrl-C. So everything that a call
    does belongs into the block, its end, too. Another Ctrl-C a second later raises at once nevertheless.

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
    canceller = threading.Thread(target=cancel, daemon=True)
    pressed = 0.0

    def press(*_: object) -> None:
        nonlocal pressed
        if not pressed:
            pressed = time.monotonic()
            canceller.start()
        elif time.monotonic() - pressed > _INSISTS_AFTER_SECONDS:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    try:
        yield
    except Exception:
        if not pressed:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        canceller.join(_CANCEL_SECONDS)
        raise KeyboardInterrupt
