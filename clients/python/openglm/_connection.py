"""A channel with its stubs, of either kind; shared by both kinds of client."""

from collections.abc import Callable, Sequence
from typing import Any

from openglm._errors import ClientClosedError
from openglm.v1.admin_pb2_grpc import AdminStub
from openglm.v1.inference_pb2_grpc import InferenceStub
from openglm.v1.models_pb2_grpc import ModelsStub
from openglm.v1.sessions_pb2_grpc import SessionsStub

_STUBS: tuple[Callable[[Any], Any], ...] = (InferenceStub, ModelsStub, SessionsStub, AdminStub)


class Connection:
    """Owns a channel. The stubs are made once, while it is open: gRPC 1.85 crashes when one is made after `close`."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._methods: dict[str, Any] = {}
        for stub in _STUBS:
            self._methods |= vars(stub(channel))
        self._closed = False

    def start(self, method: str, request: Any, timeout: float | None, metadata: Sequence[tuple[str, str]] = ()) -> Any:
        """Make a call with a message, or with an iterator of them; `timeout` in seconds.

        Raises ClientClosedError after `close`.
        """
        if self._closed:
            raise ClientClosedError("This client has been closed.", remedy="Make a new one.")
        return self._methods[method](request, timeout=timeout, metadata=metadata)

    def close(self) -> Any:
        """Close the channel; to be awaited where it is an asyncio one."""
        self._closed = True
        return self._channel.close()
