"""Where the daemon listens, who may connect, and what happens when the place is taken."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
import pytest_asyncio
import trustme

from autoglmd.config.rooms import ServerConfig
from autoglmd.edge.server import EdgeServer
from autoglmd.errors.base import ConfigError, HostError, SocketInUseError
from autoglmd.host.clock import SystemClock
from openglm.v1 import admin_pb2, admin_pb2_grpc
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_sessions import FakeSessions

Serve = Callable[[ServerConfig], Awaitable[EdgeServer]]
ANSWER_SECONDS = 5


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that are stopped at the test's end."""
    started: list[EdgeServer] = []

    async def start(config: ServerConfig) -> EdgeServer:
        server = EdgeServer(config, FakeGateway(), FakeSessions(), SystemClock())
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop(0)


async def answers(channel: grpc.aio.Channel) -> bool:
    """Whether Admin.Status works there."""
    async with channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        return bool((await stub.Status(admin_pb2.StatusRequest(), timeout=ANSWER_SECONDS)).version)


def unix(path: Path) -> grpc.aio.Channel:
    """A plain channel to a socket."""
    return grpc.aio.insecure_channel(f"unix:{quote(str(path))}")


async def test_the_socket_has_the_configured_mode_and_group(serve: Serve, tmp_path: Path) -> None:
    """Who may open it may use the daemon, so this is the access control."""
    await serve(ServerConfig(socket=tmp_path / "s", socket_mode=0o640))
    found = (tmp_path / "s").stat()
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert found.st_gid == os.getgid()


async def test_an_unknown_group_is_an_error_and_frees_the_path(serve: Serve, tmp_path: Path) -> None:
    """Nothing is left that would keep the next start from working."""
    with pytest.raises(HostError, match="no group 'nobody-has-this'"):
        await serve(ServerConfig(socket=tmp_path / "s", socket_group="nobody-has-this"))
    await serve(ServerConfig(socket=tmp_path / "s"))


async def test_a_second_daemon_on_the_socket_is_told_by_whom_it_is_used(serve: Serve, tmp_path: Path) -> None:
    """The first one keeps serving."""
    first = await serve(ServerConfig(socket=tmp_path / "s"))
    with pytest.raises(SocketInUseError, match=rf"{tmp_path}/s: in use by a daemon with pid {os.getpid()}"):
        await serve(ServerConfig(socket=tmp_path / "s"))
    assert await answers(unix(first.socket))


async def test_a_dead_daemons_socket_is_taken_over(serve: Serve, tmp_path: Path) -> None:
    """A crash leaves the file; the next start needs no cleaning."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    server = await serve(ServerConfig(socket=tmp_path / "s"))
    assert await answers(unix(server.socket))


@pytest.mark.parametrize("folder", ["已 经", "a%20b", "c#d?e"])
async def test_any_folder_name_will_do(serve: Serve, tmp_path: Path, folder: str) -> None:
    """The path is a path, not a URL; a missing folder is made."""
    server = await serve(ServerConfig(socket=tmp_path / folder / "s"))
    assert server.socket.is_socket()
    assert await answers(unix(server.socket))


async def test_a_relative_path_is_taken_from_the_working_folder(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell would."""
    monkeypatch.chdir(tmp_path)
    server = await serve(ServerConfig(socket=Path("s")))
    assert server.socket == tmp_path / "s"
    assert await answers(unix(server.socket))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_loopback_needs_no_tls(serve: Serve, tmp_path: Path, host: str) -> None:
    """Port 0 is any free one, and the address says which."""
    if host == "[::1]" and not has_ipv6():
        pytest.skip("this box has no IPv6 loopback")
    server = await serve(ServerConfig(socket=tmp_path / "s", listen=f"{host}:0"))
    assert server.tcp_address is not None
    assert not server.tcp_address.endswith(":0")
    assert await answers(grpc.aio.insecure_channel(server.tcp_address))


async def test_without_listen_there_is_no_tcp_address(serve: Serve, tmp_path: Path) -> None:
    """A Unix socket by default."""
    server = await serve(ServerConfig(socket=tmp_path / "s"))
    assert server.tcp_address is None


async def test_a_port_in_use_is_an_error_that_names_it(serve: Serve, tmp_path: Path) -> None:
    """Two daemons never share a port in silence, and the socket is free again."""
    first = await serve(ServerConfig(socket=tmp_path / "1", listen="127.0.0.1:0"))
    taken = str(first.tcp_address)
    with pytest.raises(SocketInUseError, match=f"{taken}: in use"):
        await serve(ServerConfig(socket=tmp_path / "2", listen=taken))
    assert not (tmp_path / "2").exists()
    await serve(ServerConfig(socket=tmp_path / "2"))


async def test_listening_beyond_loopback_without_tls_is_refused(serve: Serve, tmp_path: Path) -> None:
    """With the remedy."""
    with pytest.raises(ConfigError, match=r"Set server\.tls_cert, server\.tls_key, server\.tls_client_ca"):
        await serve(ServerConfig(socket=tmp_path / "s", listen="0.0.0.0:0"))


async def test_mutual_tls_lets_in_only_clients_with_a_certificate(serve: Serve, tmp_path: Path) -> None:
    """The authority that signed it is the configured one."""
    authority = trustme.CA()
    config = tls_config(tmp_path, authority)
    server = await serve(replace(config, listen="0.0.0.0:0"))
    target = str(server.tcp_address).replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - where to connect to
    client = authority.issue_cert("client.test")
    roots = authority.cert_pem.bytes()
    known = grpc.ssl_channel_credentials(roots, client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())
    assert await answers(grpc.aio.secure_channel(target, known))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots)))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def tls_config(folder: Path, authority: trustme.CA) -> ServerConfig:
    """A configuration with a fresh certificate for 127.0.0.1."""
    served = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca"))
    served.cert_chain_pems[0].write_to_path(str(folder / "cert"))
    served.private_key_pem.write_to_path(str(folder / "key"))
    return ServerConfig(
        socket=folder / "s", tls_cert=folder / "cert", tls_key=folder / "key", tls_client_ca=folder / "ca"
    )


@pytest.mark.parametrize("missing", ["tls_cert", "tls_key", "tls_client_ca"])
async def test_a_tls_file_that_is_missing_is_named(serve: Serve, tmp_path: Path, missing: str) -> None:
    """Before anything listens."""
    absent: dict[str, Any] = {missing: tmp_path / "nothing"}
    config = replace(tls_config(tmp_path, trustme.CA()), **absent)
    with pytest.raises(ConfigError, match=rf"server\.{missing} = '{tmp_path}/nothing': cannot be read"):
        await serve(config)


@pytest.mark.parametrize("broken", ["cert", "key", "ca"])
async def test_a_tls_file_that_is_not_pem_is_named(serve: Serve, tmp_path: Path, broken: str) -> None:
    """OpenSSL's reason is part of the error."""
    config = tls_config(tmp_path, trustme.CA())
    (tmp_path / broken).write_text("rubbish")
    with pytest.raises(ConfigError, match="PEM"):
        await serve(config)


async def test_a_certificate_without_its_key_is_refused(serve: Serve, tmp_path: Path) -> None:
    """Half a pair is no pair."""
    config = replace(tls_config(tmp_path, trustme.CA()), tls_key=None)
    with pytest.raises(ConfigError, match=r"both server\.tls_cert and server\.tls_key"):
        await serve(config)


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
