"""Talk to the service manager: sd_notify(3) over its datagram socket, and the watchdog's interval."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Self

log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd how we are. Without NOTIFY_SOCKET every call does nothing.

    Args:
        address: NOTIFY_SOCKET's value: a path, or an abstract name after "@".
        watchdog_seconds: systemd restarts us after this long without `watchdog`; `None` if it does not watch.
    """

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> Self:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, of which the last may mean another process."""
        return cls(environment.get("NOTIFY_SOCKET", ""), _watchdog_seconds(environment, pid))

    def ready(self) -> None:
        """We serve: `systemctl start` returns."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def stopping(self, within_seconds: float) -> None:
        """We are on our way out and need at most this long, should TimeoutStopSec be shorter."""
        self._send(f"STOPPING=1\n{_extension(within_seconds)}")

    def starting(self, within_seconds: float) -> None:
        """Still loading: do not give up on us for this long, should TimeoutStartSec be shorter."""
        self._send(_extension(within_seconds))

    def watchdog(self) -> None:
        """We make progress. Send it at least every `watchdog_seconds`; half of that is the custom."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # "@name" stands for the abstract socket "\0name" (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                # A manager that does not read must not stop us; it will notice the silence.
                channel.setblocking(False)
                channel.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd was not notified", extra={"state": state, "reason": str(error)})


def _extension(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"


def _watchdog_seconds(environment: Mapping[str, str], pid: int) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        watched = int(environment.get("WATCHDOG_PID", str(pid)))
    except ValueError:
        log.warning("WATCHDOG_USEC or WATCHDOG_PID is not a number; the watchdog is not fed")
        return None
    return microseconds / 1e6 if microseconds > 0 and watched == pid else None


def notifier_of_this_process() -> Notifier:
    """The notifier that this process's environment describes."""
    return Notifier.from_environment(os.environ, os.getpid())
