"""Who may listen beyond this box, and with which keys."""

import ssl
from pathlib import Path

import grpc

from autoglmd.config.rooms import ServerConfig
from autoglmd.errors.base import ConfigError
from autoglmd.host.addresses import TcpAddress, resolve


def listen_addresses(config: ServerConfig) -> tuple[TcpAddress, ...]:
    """What `server.listen` names; none if it is not set.

    Raises:
        ConfigError: it reaches beyond loopback without mutual TLS.
    """
    if config.listen is None:
        return ()
    addresses = resolve(config.listen)
    beyond = next((address for address in addresses if not address.is_loopback), None)
    missing = [f"server.{name}" for name in ("tls_cert", "tls_key", "tls_client_ca") if getattr(config, name) is None]
    if beyond is not None and missing:
        raise ConfigError(
            f"server.listen = {config.listen!r}: {beyond} can be reached from other machines, which needs TLS on both "
            f"sides. Set {', '.join(missing)}, or listen on 127.0.0.1."
        )
    return addresses


def server_credentials(config: ServerConfig) -> grpc.ServerCredentials | None:
    """The keys for `server.listen`; `None` for plain text.

    Raises:
        ConfigError: half of a pair is missing, or a file is not what it should be.
    """
    if config.tls_cert is None and config.tls_key is None and config.tls_client_ca is None:
        return None
    if config.tls_cert is None or config.tls_key is None:
        raise ConfigError("TLS needs both server.tls_cert and server.tls_key; one of them is not set.")
    certificate, key = _read("tls_cert", config.tls_cert), _read("tls_key", config.tls_key)
    authority = None if config.tls_client_ca is None else _read("tls_client_ca", config.tls_client_ca)
    _check(config)
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=authority, require_client_auth=authority is not None
    )


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"server.{name} = {str(path)!r}: cannot be read: {error.strerror}.") from error


def _check(config: ServerConfig) -> None:
    """Ask OpenSSL, which says what is wrong; gRPC would only say that it failed to bind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(str(config.tls_cert), str(config.tls_key), password="")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"server.tls_cert and server.tls_key are not a certificate with its unencrypted key, in PEM: {error}."
        ) from error
    try:
        if config.tls_client_ca is not None:
            context.load_verify_locations(str(config.tls_client_ca))
    except ssl.SSLError as error:
        raise ConfigError(f"server.tls_client_ca holds no PEM certificate: {error}.") from error
