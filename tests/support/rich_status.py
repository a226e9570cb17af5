"""Read google.rpc details out of a failed call."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

AnyMessage = TypeVar("AnyMessage", bound=Message)


def rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status of a failed call; it must have one, and agree with the plain status."""
    status = rpc_status.from_call(_Answered(error))
    assert isinstance(status, status_pb2.Status)
    return status


def detail(status: status_pb2.Status, kind: type[AnyMessage]) -> AnyMessage:
    """The one detail of that kind."""
    found = [entry for entry in status.details if entry.Is(kind.DESCRIPTOR)]
    assert len(found) == 1, f"{len(found)} details of {kind.DESCRIPTOR.full_name} in {status}"
    message = kind()
    found[0].Unpack(message)
    return message


def reason(error: grpc.aio.AioRpcError) -> str:
    """The stable code."""
    return str(detail(rich_status(error), error_details_pb2.ErrorInfo).reason)


def violated_field(error: grpc.aio.AioRpcError) -> str:
    """The field that a BadRequest names."""
    violations = detail(rich_status(error), error_details_pb2.BadRequest).field_violations
    assert len(violations) == 1
    return str(violations[0].field)


class _Answered:
    """An AioRpcError, as grpc_status wants to see a call: trailing metadata of pairs."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        return self._error.code()

    def details(self) -> str:
        return str(self._error.details())

    def trailing_metadata(self) -> list[tuple[str, bytes]]:
        return list(self._error.trailing_metadata())
