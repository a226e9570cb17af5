"""The gRPC server: binds, serves, drains and stops."""

import logging
from pathlib import Path
from urllib.parse import quote

import grpc
from grpc_reflection.v1alpha import reflection

from autoglmd.config.rooms import ServerConfig
from autoglmd.edge.admin import AdminServicer
from autoglmd.edge.credentials import listen_addresses, server_credentials
from autoglmd.edge.health import TELL_SECONDS, Health
from autoglmd.edge.inference import InferenceServicer
from autoglmd.edge.models import ModelsServicer
from autoglmd.edge.port import GatewayPort, SessionsPort
from autoglmd.edge.services import add_service
from autoglmd.edge.sessions import SessionsServicer
from autoglmd.edge.streams import OpenStreams
from autoglmd.errors.base import HostError
from autoglmd.host.addresses import TcpAddress, bindable
from autoglmd.host.clock import Clock
from autoglmd.host.sockets import SocketClaim, private_umask
from openglm.v1 import admin_pb2, inference_pb2, models_pb2, sessions_pb2

log = logging.getLogger(__name__)

INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["Inference"]
MODELS = models_pb2.DESCRIPTOR.services_by_name["Models"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"]
SESSIONS = sessions_pb2.DESCRIPTOR.services_by_name["Sessions"]
SERVICES = tuple(service.full_name for service in (INFERENCE, MODELS, SESSIONS, ADMIN))
HEALTH = "grpc.health.v1.Health"

STREAMS_PER_CONNECTION = 1024
KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
SHORTEST_CLIENT_PING_MS = 10_000
# What health watchers get to read the last word, once no answer streams any more.
FAREWELL_SECONDS = 0.25
STOP_SECONDS = TELL_SECONDS + FAREWELL_SECONDS
"""What `drain` and `stop` may take in all, beside the wait for streams."""


class EdgeServer:
    """Everything that listens. Construct it anywhere; the rest belongs to the event loop."""

    def __init__(self, config: ServerConfig, gateway: GatewayPort, sessions: SessionsPort, clock: Clock) -> None:
        self._config = config
        self._gateway = gateway
        self._sessions = sessions
        self._clock = clock
        self._streams = OpenStreams()
        self._health = Health((*SERVICES, HEALTH))
        self._claim: SocketClaim | None = None
        self._server: grpc.aio.Server | None = None
        self._tcp: tuple[str, ...] = ()

    @property
    def socket(self) -> Path:
        """The Unix socket's absolute path."""
        return self._config.socket.absolute()

    @property
    def tcp_address(self) -> str | None:
        """The first TCP address that is listened on, with its real port; `None` without `server.listen`."""
        return self._tcp[0] if self._tcp else None

    async def start(self) -> None:
        """Listen, with health NOT_SERVING until `set_serving`.

        Raises:
            ConfigError: `listen` reaches beyond loopback without TLS, or the TLS files are wrong.
            SocketInUseError: another process has the socket or the port.
            HostError: the socket or the port cannot be had.
        """
        credentials = server_credentials(self._config)
        addresses = bindable(listen_addresses(self._config)) if self._config.listen else ()
        self._claim = SocketClaim(self.socket)
        try:
            self._server = self._build()
            self._bind_tcp(self._server, addresses, credentials)
            self._bind_socket(self._server, self._claim)
            await self._health.set_serving(False)
            await self._server.start()
        except BaseException:
            self._claim.release()
            raise
        log.info("listening", extra={"socket": str(self.socket), "tcp": list(self._tcp)})

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks whether requests are welcome."""
        await self._health.set_serving(serving)

    async def drain(self) -> None:
        """Health says NOT_SERVING for good; all else goes on, until the gateway lets nobody in any more."""
        await self._health.shut_down()

    async def stop(self, drain_seconds: float) -> None:
        """Drain, wait that long for answers still being written, cut off the rest, and give the socket back."""
        await self.drain()
        if not await self._streams.wait_until_none(drain_seconds):
            log.warning("streams were cut off", extra={"streams": self._streams.count})
        if self._server is not None:
            await self._server.stop(FAREWELL_SECONDS)
        if self._claim is not None:
            self._claim.release()

    def _build(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_options(self._config.max_message_bytes))
        inference = InferenceServicer(self._gateway, self._streams, self._clock)
        add_service(server, INFERENCE, inference, self._clock)
        add_service(server, MODELS, ModelsServicer(self._gateway), self._clock)
        add_service(server, SESSIONS, SessionsServicer(self._sessions), self._clock)
        add_service(server, ADMIN, AdminServicer(self._gateway), self._clock)
        self._health.add_to(server)
        reflection.enable_server_reflection((*SERVICES, HEALTH, reflection.SERVICE_NAME), server)
        return server

    def _bind_tcp(
        self,
        server: grpc.aio.Server,
        addresses: tuple[TcpAddress, ...],
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        """Bind each address; where the port is 0, all share the one that the first got."""
        for address in addresses:
            shared = self._tcp[0].rpartition(":")[2] if self._tcp and not address.port else address.port
            target = str(TcpAddress(address.host, int(shared)))
            try:
                port = (
                    server.add_insecure_port(target)
                    if credentials is None
                    else server.add_secure_port(target, credentials)
                )
            except RuntimeError as error:
                raise HostError(f"{target}: cannot be listened on. Change server.listen.") from error
            self._tcp = (*self._tcp, str(TcpAddress(address.host, port)))

    def _bind_socket(self, server: grpc.aio.Server, claim: SocketClaim) -> None:
        try:
            with private_umask():
                # The target is a URI: without quoting, a space or a Chinese folder's name is refused.
                server.add_insecure_port(f"unix:{quote(str(claim.path))}")
        except RuntimeError as error:
            raise HostError(f"{claim.path}: cannot be listened on. Choose another path with --socket.") from error
        claim.grant(self._config.socket_mode, self._config.socket_group)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        # Answers are ours: Tokenize's is longer than its request.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        # Two servers would share the port in silence.
        ("grpc.so_reuseport", 0),
        # A peer whose cable was pulled is found within both together, and its requests end.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_CLIENT_PING_MS),
    ]
