"""sd_notify and the watchdog's interval."""

import logging
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoglmd.host.systemd import Notifier


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def received(self) -> str:
        """The next message."""
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """Both kinds of address that systemd uses."""
    address = f"{tmp_path}/notify" if request.param == "path" else f"@autoglmd-test-{secrets.token_hex(8)}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


def test_every_message_is_in_the_words_of_sd_notify(manager: Manager) -> None:
    """One datagram each."""
    notifier = Notifier(manager.address)
    notifier.ready()
    notifier.watchdog()
    notifier.status("serving\nglm-small  with 8 rows")
    notifier.starting(90)
    notifier.stopping(20.5)
    assert [manager.received() for _ in range(5)] == [
        "READY=1",
        "WATCHDOG=1",
        "STATUS=serving glm-small with 8 rows",
        "EXTEND_TIMEOUT_USEC=90000000",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=20500000",
    ]


def test_without_a_manager_nothing_is_sent() -> None:
    """In the foreground there is none."""
    notifier = Notifier.from_environment({}, pid=1)
    notifier.ready()
    assert notifier.watchdog_seconds is None


def test_a_manager_that_is_gone_is_logged_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Serving matters more than saying so."""
    with caplog.at_level(logging.WARNING):
        Notifier(str(tmp_path / "gone")).ready()
    assert "not notified" in caplog.text


def test_a_manager_that_does_not_read_never_blocks_us(manager: Manager) -> None:
    """Its queue fills, and we go on."""
    notifier = Notifier(manager.address)
    for _ in range(2000):
        notifier.watchdog()
    assert manager.received() == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval_is_ours_only_if_it_means_us(environment: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_PID names the process that is watched."""
    assert Notifier.from_environment(environment, pid=7).watchdog_seconds == seconds
