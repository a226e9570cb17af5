"""TCP addresses: parsed, resolved, tried."""

import socket

import pytest

from autoglmd.errors.base import ConfigError, HostError, SocketInUseError
from autoglmd.host.addresses import TcpAddress, bindable, parse_listen, resolve


@pytest.mark.parametrize(
    ("listen", "parsed"),
    [
        ("127.0.0.1:7070", ("127.0.0.1", 7070)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("box.local:80", ("box.local", 80)),
    ],
)
def test_host_and_port_are_taken_apart(listen: str, parsed: tuple[str, int]) -> None:
    """Names, IPv4, and IPv6 in brackets."""
    assert parse_listen(listen) == parsed


@pytest.mark.parametrize(
    "listen", ["", "7070", ":7070", "host:", "host:-1", "host:65536", "host:٣", "::1:7070", "[]:1"]
)
def test_anything_else_is_a_config_error_that_quotes_it(listen: str) -> None:
    """The key is named, so that the line in the file is found."""
    with pytest.raises(ConfigError) as caught:
        parse_listen(listen)
    assert f"server.listen = {listen!r}" in caught.value.message


def test_a_name_without_an_address_is_a_config_error() -> None:
    """.invalid never resolves (RFC 2606)."""
    with pytest.raises(ConfigError, match=r"'nothing\.invalid' has no address"):
        resolve("nothing.invalid:1")


def test_localhost_needs_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minimal system has no /etc/hosts."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert resolve("localhost:7") == (TcpAddress("127.0.0.1", 7), TcpAddress("::1", 7))


def test_a_name_is_resolved_once_per_address() -> None:
    """The resolver lists an address for each kind of socket."""
    assert resolve("127.0.0.1:7") == (TcpAddress("127.0.0.1", 7),)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - compared, not bound
        ("::", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_what_only_this_box_can_reach(host: str, loopback: bool) -> None:
    """The wildcard is not."""
    assert TcpAddress(host, 1).is_loopback is loopback


def test_addresses_print_as_grpc_and_people_write_them() -> None:
    """IPv6 in brackets."""
    assert [str(TcpAddress(host, 7070)) for host in ("127.0.0.1", "::1")] == ["127.0.0.1:7070", "[::1]:7070"]


def test_a_port_that_somebody_listens_on_is_named() -> None:
    """And by whom is for `ss -lp` to say."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SocketInUseError, match=rf"127\.0\.0\.1:{port}: in use"):
            bindable((TcpAddress("127.0.0.1", port),))


def test_a_box_without_one_of_the_addresses_uses_the_others() -> None:
    """192.0.2.0/24 belongs to nobody (RFC 5737)."""
    here, elsewhere = TcpAddress("127.0.0.1", 0), TcpAddress("192.0.2.1", 0)
    assert bindable((elsewhere, here)) == (here,)
    with pytest.raises(HostError, match=r"192\.0\.2\.1:0.*Change server\.listen"):
        bindable((elsewhere,))
