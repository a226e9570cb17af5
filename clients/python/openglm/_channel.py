"""How a channel to the daemon is opened, for both kinds of client."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from openglm._address import Address
from openglm._details import ErrorDetails
from openglm._errors import InvalidArgumentError

# A tokenized 100,000-token prompt is about 3 MB; gRPC's own limit would be 4.
_RECEIVE_BYTES = 64 * 1024 * 1024
# A box that lost power says no goodbye: who waits for it hears so after the two together. The daemon takes no more
# than a ping in ten seconds.
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS needs, as PEM files. `cert` and `key` are this client's own, where the daemon asks for one.

    Attributes:
        ca: the authority that signed the daemon's certificate; `None` for those that gRPC ships.
        server_name: the name to expect in the daemon's certificate, where it is not the address's host.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str = ""


def open_channel(module: Any, address: Address, tls: Tls | None) -> Any:
    """A channel of `module`'s kind: `grpc` or `grpc.aio`. Nothing is sent yet."""
    secrets = credentials(address, tls)
    options = channel_options(address, tls)
    if secrets is None:
        return module.insecure_channel(address.target, options=options)
    return module.secure_channel(address.target, secrets, options=options)


def channel_options(address: Address, tls: Tls | None) -> list[tuple[str, str | int]]:
    """The channel arguments: quick reconnects, no proxies; a name for a Unix socket's peer, pings over TCP."""
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", _RECEIVE_BYTES),
        # Our own retries wait; the channel should not add a second of its own to a daemon's restart.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A box on the LAN is never behind the web's proxy, but http_proxy is often set.
        ("grpc.enable_http_proxy", 0),
    ]
    if address.path is not None:
        return [*options, ("grpc.default_authority", "localhost")]
    options += [
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # gRPC 1.85 goes by this one, which is a minute by itself.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # A reader only listens; without this, two pings are all that gRPC sends between messages of its own.
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def credentials(address: Address, tls: Tls | None) -> grpc.ChannelCredentials | None:
    """The channel's credentials, `None` for plain text.

    Raises:
        InvalidArgumentError: TLS over a Unix socket, plain text to another machine, a file that cannot be read,
            or a certificate without its key.
    """
    if tls is None:
        if not address.is_local:
            raise _bad_tls(f"{address} is another machine; prompts go there by TLS only. Give tls= (--tls-ca).")
        return None
    if address.path is not None:
        raise _bad_tls("a Unix socket needs none: its file permissions guard it.")
    if (tls.cert is None) != (tls.key is None):
        raise _bad_tls("cert and key come together.")
    return grpc.ssl_channel_credentials(_pem(tls.ca), _pem(tls.key), _pem(tls.cert))


def _pem(path: Path | str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _bad_tls(f"{path} cannot be read: {error.strerror}.") from error


def _bad_tls(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"tls: {problem}", ErrorDetails(fields=("tls",)))
