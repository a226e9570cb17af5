"""Bytes that are no request of ours: too many, not UTF-8, not protobuf."""

import grpc
import pytest

from openglm.v1 import inference_pb2
from tests.contract.conftest import Door
from tests.support.rich_status import reason, violated_field

GENERATE = "/openglm.v1.Inference/Generate"
TOKENIZE = "/openglm.v1.Inference/Tokenize"
MEGABYTE = 1 << 20


async def send_raw(door: Door, method: str, raw: bytes) -> grpc.aio.AioRpcError:
    """Send bytes as they stand; return the refusal."""
    answer = (
        door.channel.unary_stream(method)(raw).read() if method == GENERATE else door.channel.unary_unary(method)(raw)
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value


async def serves(door: Door) -> bool:
    """Whether an ordinary request is answered."""
    response = await door.inference.Tokenize(inference_pb2.TokenizeRequest(prompt="a"))
    return list(response.ids) == [1, 2]


def string_field(number: int, content: bytes) -> bytes:
    """A length-delimited field of the wire format; both numbers below 16 and 128."""
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("method", [GENERATE, TOKENIZE])
async def test_a_message_of_100_megabytes_is_refused_and_the_daemon_goes_on(door: Door, method: str) -> None:
    """RESOURCE_EXHAUSTED, with the limit in the text; nothing reaches the gateway."""
    prompt = "x" * (100 * MEGABYTE)
    request = (
        inference_pb2.GenerateRequest(prompt=prompt)
        if method == GENERATE
        else inference_pb2.TokenizeRequest(prompt=prompt)
    )
    error = await send_raw(door, method, request.SerializeToString())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(4 * MEGABYTE) in str(error.details())
    assert await serves(door)
    assert door.gateway.requests == []


async def test_a_small_message_that_unpacks_to_a_large_one_is_refused(door: Door) -> None:
    """The limit is on what we would hold in memory, not on what travels."""
    bomb = inference_pb2.TokenizeRequest(prompt="x" * (16 * MEGABYTE))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.inference.Tokenize(bomb, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await serves(door)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (string_field(3, b"\xff\xfe"), "prompt"),
        (string_field(2, b"\xc3"), "model"),
        (string_field(8, b"ok") + string_field(8, b"\x80"), "stop[1]"),
        (string_field(4, string_field(1, string_field(2, b"\xe4\xbd"))), "chat.messages[0].content"),
    ],
    ids=["prompt", "model", "stop", "chat"],
)
async def test_a_string_that_is_not_utf8_is_named(door: Door, raw: bytes, field: str) -> None:
    """The caller learns which field, which protobuf itself does not say."""
    error = await send_raw(door, GENERATE, raw)
    assert (error.code(), violated_field(error)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert await serves(door)


@pytest.mark.parametrize("raw", [b"\xff" * 10, b"\x1a\xff", b"\x1a\x05ab"], ids=["tags", "length", "short"])
async def test_bytes_that_are_not_protobuf_are_an_invalid_argument(door: Door, raw: bytes) -> None:
    """Not an internal error: the caller is to look at its own side."""
    error = await send_raw(door, TOKENIZE, raw)
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert violated_field(error) == "request"
    assert await serves(door)


async def test_fields_that_we_do_not_know_are_ignored(door: Door) -> None:
    """A newer client may say more than we understand."""
    raw = inference_pb2.TokenizeRequest(prompt="a").SerializeToString() + string_field(15, b"new")
    assert await door.channel.unary_unary(TOKENIZE)(raw)


async def test_an_unknown_method_answers_unimplemented(door: Door) -> None:
    """As gRPC says."""
    error = await send_raw(door, "/openglm.v1.Inference/Nothing", b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
