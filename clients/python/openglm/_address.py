"""Where a daemon listens: the forms an address can have, and where to look when none was given."""

import os
import re
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from openglm._details import ErrorDetails
from openglm._errors import InvalidArgumentError

SYSTEM_SOCKET = Path("/run/autoglmd/autoglmd.sock")
# sockaddr_un.sun_path has 108 bytes on Linux, the closing zero included.
SOCKET_PATH_BYTES = 107
_PROBE_SECONDS = 1.0

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[::1\]")


@dataclass(frozen=True, slots=True)
class Address:
    """One place to connect to: a Unix socket's path, or a host and a port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def target(self) -> str:
        """The name that gRPC knows it by."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return self.path is not None or _LOOPBACK.fullmatch(self.host) is not None

    def __str__(self) -> str:
        return self.target


def parse_address(text: str | Path) -> Address:
    """Read "/path", "unix:/path", "unix:///path", "host:port" or "[v6]:port".

    Raises:
        InvalidArgumentError: it has none of these forms, or the path is too long for a socket.
    """
    if isinstance(text, Path):
        return _socket(text)
    if text.startswith("unix:"):
        return _socket(Path(text.removeprefix("unix:").removeprefix("//")))
    if "/" in text:
        return _socket(Path(text))
    return _tcp(text)


def default_candidates(environ: Mapping[str, str]) -> tuple[Address, ...]:
    """The addresses to look at, best first, when the caller gave none.

    What AUTOGLMD_SOCKET or AUTOGLMD_ADDRESS names is the only one, if either is set; else the system's socket and
    then the user's.
    """
    if named := environ.get("AUTOGLMD_SOCKET"):
        return (_socket(Path(named.removeprefix("unix:"))),)
    if named := environ.get("AUTOGLMD_ADDRESS"):
        return (parse_address(named),)
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    user = (Address(path=runtime / "autoglmd" / "autoglmd.sock"),) if _is_ours_alone(runtime) else ()
    return (Address(path=SYSTEM_SOCKET), *user)


def _is_ours_alone(folder: Path) -> bool:
    """As a user's runtime folder is. Where others can write, or of another user, the socket could be anybody's."""
    try:
        facts = folder.lstat()
    except OSError:
        return False
    mine = facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
    return folder.is_absolute() and stat.S_ISDIR(facts.st_mode) and mine


def default_address(environ: Mapping[str, str]) -> Address:
    """The first candidate that answers: a socket stays behind a daemon that crashed. If none does, the first of all."""
    candidates = default_candidates(environ)
    return candidates[0] if len(candidates) == 1 else first_that_answers(candidates) or candidates[0]


def first_that_answers(candidates: Iterable[Address]) -> Address | None:
    """The first Unix socket that somebody listens on and lets us in."""
    return next((place for place in candidates if _answers(place)), None)


def _answers(place: Address) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(place.path))
        except OSError:
            return False
    return True


def _socket(path: Path) -> Address:
    if not path.name:
        raise _bad_address("the socket's path is empty", str(path))
    if len(bytes(path.absolute())) > SOCKET_PATH_BYTES:
        raise _bad_address(f"a socket's path has at most {SOCKET_PATH_BYTES} bytes", str(path))
    return Address(path=path.absolute())


def _tcp(text: str) -> Address:
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise _bad_address("expected a socket's path, unix:PATH or HOST:PORT", text)
    if not 0 < int(match["port"]) < 65536:
        raise _bad_address("a port is between 1 and 65535", text)
    return Address(host=match["host"], port=int(match["port"]))


def _bad_address(problem: str, text: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"address: {problem}; got {text!r}.", ErrorDetails(fields=("address",)))
