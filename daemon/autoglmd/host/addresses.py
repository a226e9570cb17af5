"""TCP addresses to listen on: parsed, resolved, and checked before a server binds them."""

import errno
import ipaddress
import socket
from dataclasses import dataclass

from autoglmd.errors.base import ConfigError, HostError, SocketInUseError

PORTS = range(65536)
LOCALHOST = ("127.0.0.1", "::1")
# The box has no such address family or address; `localhost` may still have another.
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A numeric address. Port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this box can reach it."""
        return ipaddress.ip_address(self.host.split("%")[0]).is_loopback


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" or "[IPV6]:PORT".

    Raises:
        ConfigError: it is something else.
    """
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) not in PORTS:
        raise ConfigError(f'server.listen = {listen!r} is not "HOST:PORT", for example "127.0.0.1:7070".')
    if ":" in bare and not bracketed:
        raise ConfigError(f'server.listen = {listen!r}: write an IPv6 address as "[ADDRESS]:PORT".')
    return bare, int(port)


def resolve(listen: str) -> tuple[TcpAddress, ...]:
    """The numeric addresses behind "HOST:PORT", in the resolver's order, without doubles.

    Raises:
        ConfigError: it is not an address, or the name has none.
    """
    host, port = parse_listen(listen)
    if host == "localhost":
        # RFC 6761, section 6.3: not for a resolver to say. A minimal system's knows nothing of it.
        return tuple(TcpAddress(address, port) for address in LOCALHOST)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"server.listen = {listen!r}: {host!r} has no address: {error.strerror}.") from error
    return tuple(dict.fromkeys(TcpAddress(str(entry[4][0]), port) for entry in found))


def bindable(addresses: tuple[TcpAddress, ...]) -> tuple[TcpAddress, ...]:
    """Those that this box has, after trying each; gRPC's own failure would not say what is wrong.

    Raises:
        SocketInUseError: another process listens on one of them.
        HostError: none can be bound.
    """
    reasons: dict[TcpAddress, str] = {}
    for address in addresses:
        error = _try_bind(address)
        if error is not None:
            reasons[address] = _absence(address, error)
    usable = tuple(address for address in addresses if address not in reasons)
    if not usable:
        listed = "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
        raise HostError(f"Nothing to listen on: {listed}. Change server.listen to an address of this box.")
    return usable


def _try_bind(address: TcpAddress) -> OSError | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As gRPC does: a port in TIME_WAIT is free, one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address.host, address.port))
            probe.listen(1)
    except OSError as error:
        return error
    return None


def _absence(address: TcpAddress, error: OSError) -> str:
    """Why the box does not have this address; what is not about absence is raised."""
    if error.errno == errno.EADDRINUSE:
        raise SocketInUseError(f"{address}: in use by another process. Stop it, or change server.listen.") from error
    if error.errno not in ABSENT:
        raise HostError(f"{address}: cannot be listened on: {error.strerror}. Change server.listen.") from error
    return error.strerror or str(error)
