"""W3C Trace Context over the wire."""

import pytest

from openglm.v1 import admin_pb2, inference_pb2
from tests.contract.conftest import Door

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
REQUEST = inference_pb2.GenerateRequest(prompt="a")


async def test_the_callers_trace_goes_on(door: Door) -> None:
    """In Started, in the request that travels on, and in the initial metadata, with a span of our own."""
    call = door.inference.Generate(REQUEST, metadata=(("traceparent", TRACEPARENT),))
    header = dict(await call.initial_metadata())["traceparent"]
    events = [event async for event in call]
    version, trace_id, span_id, flags = header.split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert span_id != "00f067aa0ba902b7"
    assert events[0].started.trace_id == TRACE_ID
    assert door.gateway.requests[0].trace_id == TRACE_ID


@pytest.mark.parametrize("header", [None, "rubbish", TRACEPARENT.upper()])
async def test_without_a_proper_trace_a_fresh_one_begins(door: Door, header: str | None) -> None:
    """A broken header is no reason to refuse."""
    metadata = () if header is None else (("traceparent", header),)
    call = door.inference.Generate(REQUEST, metadata=metadata)
    events = [event async for event in call]
    fresh = events[0].started.trace_id
    assert len(fresh) == 32
    assert fresh != TRACE_ID
    assert fresh in dict(await call.initial_metadata())["traceparent"]


async def test_unary_calls_have_a_trace_too(door: Door) -> None:
    """Every call of ours."""
    call = door.admin.Status(admin_pb2.StatusRequest(), metadata=(("traceparent", TRACEPARENT),))
    await call
    assert TRACE_ID in dict(await call.initial_metadata())["traceparent"]
