"""Servicers onto the server: each method of a service's descriptor, behind the guard."""

import re

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from autoglmd.edge.guard import Guard
from autoglmd.host.clock import Clock


def add_service(server: grpc.aio.Server, service: ServiceDescriptor, servicer: object, clock: Clock) -> None:
    """Serve `service` with the servicer's methods of the same names in snake case: GetModel is get_model.

    Raises:
        AttributeError: the servicer lacks one.
    """
    handlers = {method.name: _handler(method, servicer, clock) for method in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(method: MethodDescriptor, servicer: object, clock: Clock) -> grpc.RpcMethodHandler:
    kind = GetMessageClass(method.input_type)
    answer = getattr(servicer, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower())
    guard = Guard(method.full_name, kind, answer, clock)
    serialize = GetMessageClass(method.output_type).SerializeToString
    # No deserializer here: gRPC hands the bytes over, and the guard answers for what is wrong with them.
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(guard.call_stream, response_serializer=serialize)
    make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    return make(guard.call, response_serializer=serialize)
