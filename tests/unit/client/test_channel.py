"""When a channel is encrypted, and what is refused."""

from pathlib import Path

import pytest

from openglm import Client, InvalidArgumentError, Tls
from openglm._address import parse_address
from openglm._channel import channel_options, credentials


def test_local_addresses_are_plain() -> None:
    """A socket and loopback need no TLS."""
    assert credentials(parse_address("/s"), None) is None
    assert credentials(parse_address("localhost:1"), None) is None


def test_another_machine_needs_tls() -> None:
    """A prompt does not cross the network in plain text by accident."""
    with pytest.raises(InvalidArgumentError, match="by TLS only"):
        Client("10.0.0.1:7070")


def test_a_socket_refuses_tls() -> None:
    """Options that would do nothing are an error."""
    with pytest.raises(InvalidArgumentError, match="file permissions"):
        Client("/s", tls=Tls())


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """Half of an identity is none."""
    with pytest.raises(InvalidArgumentError, match="cert and key"):
        Client("localhost:1", tls=Tls(cert=tmp_path / "cert.pem"))


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """The missing file's name is in the error."""
    with pytest.raises(InvalidArgumentError, match=r"ca\.pem cannot be read: No such file"):
        Client("localhost:1", tls=Tls(ca=tmp_path / "ca.pem"))


def test_the_servers_name_can_be_set() -> None:
    """Where the address is not what the certificate says."""
    options = dict(channel_options(parse_address("10.0.0.1:1"), Tls(server_name="box")))
    assert options["grpc.ssl_target_name_override"] == "box"


def test_proxies_are_never_used() -> None:
    """http_proxy in the environment must not send a LAN's traffic elsewhere."""
    assert dict(channel_options(parse_address("localhost:1"), None))["grpc.enable_http_proxy"] == 0


def test_a_socket_on_this_box_is_not_pinged() -> None:
    """The kernel says at once when its peer is gone; an idle box is left to sleep."""
    assert "grpc.keepalive_time_ms" not in dict(channel_options(parse_address("/s"), None))
