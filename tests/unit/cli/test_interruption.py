"""Ctrl-C while an answer comes: at one place, not between any two instructions."""

import signal
import threading
from collections.abc import Iterator

import pytest

from autoglmctl.interruption import CtrlCAtPrompt, cancelled_by_ctrl_c

LIMIT_SECONDS = 10.0


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's own handler as it was."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def press(times: int = 1) -> None:
    """Press Ctrl-C."""
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_cancels_and_is_raised_at_the_end_of_the_block() -> None:
    """What runs in the block is never torn apart."""
    cancelled, reached = threading.Event(), []

    def answer() -> None:
        with cancelled_by_ctrl_c(cancelled.set):
            press()
            reached.append(cancelled.wait(LIMIT_SECONDS))

    with pytest.raises(KeyboardInterrupt):
        answer()
    assert reached == [True]


def test_what_the_cancellation_makes_the_block_raise_is_ctrl_c() -> None:
    """The call's own error says nothing that the user does not know."""

    def answer() -> None:
        with cancelled_by_ctrl_c(lambda: None):
            press()
            raise ConnectionError

    with pytest.raises(KeyboardInterrupt):
        answer()


def test_an_error_without_ctrl_c_passes() -> None:
    """It is news."""

    def answer() -> None:
        with cancelled_by_ctrl_c(lambda: None):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        answer()


def test_a_ctrl_c_that_is_repeated_later_raises_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever waits for a cancellation that does not come; one that comes twice is one."""
    now, reached = [100.0], []
    monkeypatch.setattr("autoglmctl.interruption.time.monotonic", lambda: now[0])

    def answer() -> None:
        with cancelled_by_ctrl_c(lambda: None):
            press(2)
            reached.append("a second press at once")
            now[0] += 2
            press()
            reached.append("a press later")

    with pytest.raises(KeyboardInterrupt):
        answer()
    assert reached == ["a second press at once"]


def test_the_handler_before_is_the_handler_after() -> None:
    """Ctrl-C at the prompt must go on to mean what it means there."""
    before = signal.getsignal(signal.SIGINT)
    with cancelled_by_ctrl_c(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_where_ctrl_c_is_ignored_it_stays_ignored() -> None:
    """A shell without job control starts background work so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with cancelled_by_ctrl_c(lambda: pytest.fail("cancelled")):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_ctrl_c_at_the_prompt_is_raised_there_and_only_there() -> None:
    """A key that is held down must not get in between two prompts."""
    with CtrlCAtPrompt() as prompt:
        press()
        with pytest.raises(KeyboardInterrupt):
            prompt.read(press)
        press(3)
        assert prompt.read(lambda: "text") == "text"
        press()


def test_the_prompts_handler_is_for_the_prompt_only() -> None:
    """And an answer's handler gives it back."""
    before = signal.getsignal(signal.SIGINT)
    with CtrlCAtPrompt() as prompt:
        at_prompt = signal.getsignal(signal.SIGINT)
        with cancelled_by_ctrl_c(lambda: None):
            pass
        assert signal.getsignal(signal.SIGINT) == at_prompt
        with pytest.raises(KeyboardInterrupt):
            prompt.read(press)
    assert signal.getsignal(signal.SIGINT) is before


def test_at_the_prompt_an_ignored_ctrl_c_stays_ignored() -> None:
    """As with an answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with CtrlCAtPrompt() as prompt:
        assert prompt.read(lambda: signal.getsignal(signal.SIGINT)) is signal.SIG_IGN
