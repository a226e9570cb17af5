"""What Ctrl-C does while an answer comes, and while a line is read."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self, TypeVar

_T = TypeVar("_T")
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


class CtrlCAtPrompt:
    """Ctrl-C raises KeyboardInterrupt in `read`, and does nothing between two reads.

    A key that is held down would otherwise get in between a prompt's end and the next prompt, where nothing catches it.
    Use as a context manager, in the main thread.
    """

    def __init__(self) -> None:
        self._reading = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def read(self, read: Callable[[], _T]) -> _T:
        """Call `read`. Raises KeyboardInterrupt at Ctrl-C."""
        try:
            self._reading = True
            return read()
        finally:
            self._reading = False

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self._reading:
            # Not `raise`, and as often as it is pressed: input() looks for signals once more when it is already on its
            # way out with an exception, where making another or returning would be an error of the interpreter's.
            signal.default_int_handler(number, frame)
