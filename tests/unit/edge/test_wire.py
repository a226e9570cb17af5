"""Bytes that are no message: which field is to blame."""

import pytest

from autoglmd.edge.wire import SEARCHED_FIELDS, decode
from autoglmd.errors.request import InvalidArgumentError
from openglm.v1 import inference_pb2 as pb


def length_delimited(number: int, content: bytes) -> bytes:
    """A field of the wire format, with small numbers."""
    return bytes([number << 3 | 2, len(content)]) + content


def blamed(raw: bytes) -> str:
    """The field that `decode` names."""
    with pytest.raises(InvalidArgumentError) as caught:
        decode(raw, pb.GenerateRequest)
    return caught.value.field


def test_a_good_message_is_parsed() -> None:
    """As protobuf would."""
    request = pb.GenerateRequest(prompt="你好", stop=["。"])
    assert decode(request.SerializeToString(), pb.GenerateRequest) == request


def test_a_message_in_pieces_is_searched_too() -> None:
    """The wire format allows a submessage to come in several parts."""
    good = pb.GenerateRequest(chat=pb.Chat(messages=[pb.Message(role="user", content="a")])).SerializeToString()
    bad = length_delimited(4, length_delimited(1, length_delimited(1, b"\xff")))
    assert blamed(good + bad) == "chat.messages[0].role"


def test_the_first_of_several_bad_strings_is_named() -> None:
    """In the order of the bytes."""
    assert blamed(length_delimited(2, b"\xff") + length_delimited(3, b"\xff")) == "model"


@pytest.mark.parametrize("raw", [b"\x0a", b"\x0b\x0b", length_delimited(6, b"\x0d\x00")])
def test_bytes_without_a_bad_string_are_blamed_as_a_whole(raw: bytes) -> None:
    """Cut off, an unclosed group, a cut-off submessage."""
    assert blamed(raw) == "request"


def test_numbers_among_the_fields_do_not_confuse_the_search() -> None:
    """Only what has a length can hold text."""
    raw = pb.GenerateRequest(max_tokens=5, ignore_eos=True).SerializeToString()
    assert blamed(raw + length_delimited(3, b"\xc3\x28")) == "prompt"


def test_a_long_text_is_searched_whole() -> None:
    """What counts is the number of fields, not of bytes: a file in the wrong encoding gets its name."""
    text = b"\x1a\x80\x80\x40" + b"x" * ((1 << 20) - 1) + b"\xe9"
    assert blamed(text) == "prompt"


def test_the_search_ends_before_it_holds_up_everybody() -> None:
    """Millions of fields before the bad one: the request is blamed as a whole."""
    junk = b"\x50\x01"
    bad = length_delimited(3, b"\xff")
    assert blamed(junk * (SEARCHED_FIELDS - 1) + bad) == "prompt"
    assert blamed(junk * SEARCHED_FIELDS + bad) == "request"


def test_fields_inside_of_fields_count_too() -> None:
    """Nesting is no way around the limit."""
    message = length_delimited(1, b"")
    chats = [length_delimited(4, message * 60) for _ in range(SEARCHED_FIELDS // 50)]
    assert blamed(b"".join(chats) + length_delimited(3, b"\xff")) == "request"
