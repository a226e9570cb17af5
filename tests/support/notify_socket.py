"""What systemd is to a service: a datagram socket that hears how it is."""

import socket
import time
from pathlib import Path
from typing import Self

LIMIT_SECONDS = 60.0


class NotifySocket:
    """Bound to a path, whose name the service gets as NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait(self, beginning: str) -> str:
        """The next message that begins so; all before it are in `heard` too."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            message = self._socket.recv(4096).decode()
            self.heard.append(message)
            if message.startswith(beginning):
                return message
        raise AssertionError(f"never heard {beginning}: {self.heard}")

    def heard_within(self, seconds: float) -> list[str]:
        """Every message of the next seconds, however few."""
        deadline = time.monotonic() + seconds
        messages = []
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                messages.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        self.heard += messages
        return messages
