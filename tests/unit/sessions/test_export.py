"""A session as one file: whole it is taken, and whatever else somebody sends is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.edge.responses import session_response, turn_response
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionNewerError
from autoglmd.messages.sessions import KvBlock, SessionInfo
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.record import Kind
from tests.support.conversations import KEY, NOW, empty, without_kv
from tests.support.session_files import LAYOUT, NEW, Raw, apart, of_version, packed, taken, together, told

SAID = told("你好", "turn on the light")


def expected(conversation: Conversation = SAID) -> Conversation:
    """As it is found on the other side: under its new name, used now, and marked where it has another's numbers."""
    return replace(conversation, key=NEW, last_used=NOW + 100, is_foreign=bool(conversation.blocks))


def test_what_is_exported_is_imported_as_it_was() -> None:
    """Text, tokens, turns, keys and values."""
    assert taken(packed(SAID)) == expected()


def test_an_empty_session_is_one_as_well() -> None:
    """And one whose tokens nobody knows."""
    assert taken(packed(empty(model=LAYOUT))) == expected(empty(model=LAYOUT))
    text = replace(SAID, ids=(), marks=(), blocks=())
    assert taken(packed(text)) == expected(text)


def test_a_file_does_not_say_whose_session_it_was() -> None:
    """The tenant is nobody's business where the file goes."""
    private = replace(SAID, key=replace(KEY, tenant="certificate:alice"))
    assert b"alice" not in packed(private)


def test_what_was_taken_back_does_not_leave_the_box() -> None:
    """Neither its text, nor its tokens, nor keys and values that were computed for it."""
    data = bytes(range(40))
    cut = replace(SAID, blocks=(KvBlock(0, 3, 10, data),))
    (*_, (kind, meta, body), _end) = apart(packed(cut))
    assert (kind, meta) == (Kind.KV, {"start": 0, "tokens": 3, "held": 3, "stored": True})
    # Two tensors, each with one head, two bytes wide.
    assert body == data[:6] + data[20:26]
    unknown = replace(cut, model=replace(LAYOUT, kv="laid out somehow"))
    assert [kind for kind, _, _ in apart(packed(unknown))] == [Kind.MODEL, Kind.TURN, Kind.END]


def test_keys_and_values_of_a_model_that_is_not_served_are_left_out() -> None:
    """Of another version, of another layout, of none."""
    others = (replace(LAYOUT, version="other"), replace(LAYOUT, kv="2 of int8 1x2; other"), replace(LAYOUT, name="b"))
    for other in others:
        assert taken(packed(SAID), other) == expected(without_kv(SAID))


def test_keys_and_values_past_the_served_context_are_left_out() -> None:
    """Nobody could use them; those before are used."""
    assert taken(packed(SAID), context_tokens=8).kv_tokens == SAID.blocks[0].stop


@pytest.mark.parametrize("model", [LAYOUT, replace(LAYOUT, name="not served")])
def test_a_bit_flipped_anywhere_is_refused(model: object) -> None:
    """Also in keys and values that nobody here would use. A version that was ours is damage, and not a newer one."""
    sound = packed(replace(SAID, model=model))  # type: ignore[arg-type]
    for bit in range(8 * len(sound)):
        raw = bytearray(sound)
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidArgumentError):
            taken(bytes(raw))


def test_a_file_cut_off_anywhere_is_refused() -> None:
    """Between two records as well; and so is one with something behind it."""
    sound = packed(SAID)
    for size in range(len(sound)):
        with pytest.raises(InvalidArgumentError, match="no whole session"):
            taken(sound[:size])
    with pytest.raises(InvalidArgumentError, match="damaged or cut off"):
        taken(sound + b"x")


def test_a_newer_programs_file_is_refused_as_that() -> None:
    """The file is whole, and we are too old."""
    sound = packed(SAID)
    with pytest.raises(SessionNewerError, match="The file has records of version 3, and this autoglmd knows 2"):
        taken(of_version(3, sound))


def changed(at: int, **meta: Any) -> list[Raw]:
    """The records of a file, with one told otherwise."""
    parts = apart(packed(SAID))
    kind, known, body = parts[at]
    parts[at] = (kind, {**known, **meta}, body)
    return parts


MODEL = apart(packed(SAID))[0][1]["model"]
MARK = apart(packed(SAID))[1][1]["marks"]


@pytest.mark.parametrize(
    "parts",
    [
        changed(0, created=float("nan")),
        changed(0, created=-1.0),
        changed(0, model={**MODEL, "name": ["a"]}),
        changed(0, model={**MODEL, "name": "a\nb"}),
        changed(0, model={**MODEL, "kv_bytes_per_token": True}),
        changed(0, model={**MODEL, "more": 1}),
        changed(0, model=None),
        changed(1, ids=[-1]),
        changed(1, ids=[1 << 31]),
        changed(1, ids=[1e400]),
        changed(1, ids=[0] * ((1 << 20) + 1)),
        changed(1, number=-1),
        changed(1, number=0),
        changed(1, number=1 << 31),
        changed(1, number=1),
        changed(1, start=-1),
        changed(1, start=3),
        changed(1, first_message=1),
        changed(1, messages=[{"role": "user", "content": "\ud800"}] * 4),
        changed(1, messages=[{"role": "", "content": "a"}] * 4),
        changed(1, messages=[{"role": "user"}] * 4),
        changed(1, messages=["a"] * 4),
        changed(1, marks=MARK[::-1]),
        changed(1, marks=[{**MARK[0], "end": 1 << 60}]),
        changed(1, marks=[{**MARK[0], "answer_start": -1}]),
        changed(1, marks=[{**MARK[0], "messages": 9}]),
        changed(1, marks=[{**MARK[0], "number": 3}]),
        changed(1, marks=[{**MARK[0], "more": 3}]),
        changed(2, start=1),
        changed(2, start=-1),
        changed(2, tokens=0, held=0),
        changed(2, tokens=1 << 62, held=1 << 62),
        changed(2, tokens=2, held=4),
        changed(2, tokens=2.0, held=2.0),
        changed(2, tokens="4", held="4"),
        apart(packed(SAID))[1:],
        [*changed(0)[:2], *changed(0)[1:]],
        [*changed(0)[:1], *changed(0)],
        [],
        [(Kind.MODEL, [], b"")],
        [(Kind.MODEL, json.loads("[" * 500 + "]" * 500), b"")],
    ],
    ids=str,
)
def test_what_no_daemon_writes_is_refused(parts: list[Raw]) -> None:
    """Although every checksum is right: every number and every text is a stranger's."""
    with pytest.raises(InvalidArgumentError, match="no whole session"):
        taken(together(parts))


def test_a_text_too_deep_to_be_read_is_refused() -> None:
    """And does not end the daemon's thread."""
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidArgumentError, match="damaged or cut off"):
        taken(together([*apart(packed(SAID)), (Kind.TURN, deep, b"")]))


def test_an_end_that_counts_otherwise_is_refused() -> None:
    """A record was lost on the way, or added."""
    for count in (0, 3, 5):
        with pytest.raises(InvalidArgumentError, match="ends before its end"):
            taken(together(apart(packed(SAID)), count=count))


def frame_that_says(size: int, data: bytes = b"") -> bytes:
    """The beginning of a zstd frame that claims to hold so much, and data behind it (RFC 8878, 3.1.1)."""
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + data


@pytest.mark.parametrize(
    "body",
    [
        frame_that_says(1 << 40),
        frame_that_says(16),
        frame_that_says(16, b"\x02\x00\x10\x00" + b"\x03\x00\x10\x00"),
        zstandard.compress(bytes(1 << 20)),
        zstandard.compress(bytes(12)),
        zstandard.compress(bytes(16)) + bytes(4096),
        b"",
        bytes(16),
    ],
    ids=lambda body: f"{len(body)} bytes",
)
def test_a_frame_that_holds_other_than_the_served_model_says_is_refused(body: bytes) -> None:
    """Before it is unpacked: a small file may hold what no memory does."""
    with pytest.raises(InvalidArgumentError, match="no whole session"):
        taken(with_kv({"start": 0, "tokens": 4, "held": 4}, body))


@pytest.mark.parametrize(("stored", "count"), [(True, 15), (True, 17), (True, 0), (1, 16), ("true", 16), (None, 16)])
def test_stored_bytes_are_as_many_as_the_served_model_says_and_called_so(stored: object, count: int) -> None:
    """And nothing is called stored but by the one word for it."""
    with pytest.raises(InvalidArgumentError, match="no whole session"):
        taken(with_kv({"start": 0, "tokens": 4, "held": 4, "stored": stored}, bytes(count)))


def with_kv(meta: dict[str, object], body: bytes) -> bytes:
    """A file that was well but for its keys and values."""
    parts = apart(packed(SAID))
    assert parts[2][1] == {"start": 0, "tokens": 4, "held": 4, "stored": True}
    parts[2] = (Kind.KV, meta, body)
    return together(parts)


def test_the_size_of_keys_and_values_is_not_the_files_to_say() -> None:
    """A mark with other sizes is another model's, and none of it is unpacked."""
    parts = changed(0, model={**MODEL, "kv_bytes_per_token": 1 << 40})
    parts[2] = (Kind.KV, parts[2][1], frame_that_says(4 << 40))
    assert taken(together(parts)).blocks == ()


def check(raw: bytes) -> None:
    """It is refused, or taken as something that can be shown, exported and taken once more."""
    try:
        found = taken(raw)
    except (InvalidArgumentError, SessionNewerError):
        return
    name, turns, tokens = found.model.name, found.turns, len(found.ids)
    info = SessionInfo("new", name, found.created, NOW, NOW, turns, tokens, 0, found.kv_tokens)
    assert session_response(info).SerializeToString()
    assert all(turn_response(each).SerializeToString() for each in found.marks)
    assert all(message.content.encode() is not None for message in found.messages)
    assert found.kv_tokens <= len(found.ids)
    assert taken(packed(found)) == found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bytes_changed_anywhere_do_no_harm(data: st.DataObject) -> None:
    """Any of them, cut out, put in or replaced."""
    raw = packed(SAID)
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 40)))
    check(raw[:start] + data.draw(st.binary(max_size=40)) + raw[stop:])


FIELDS = st.sampled_from(["ids", "role", "end"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_anything_in_any_place_does_no_harm(data: st.DataObject) -> None:
    """With checksums that are right, which a stranger can compute as well."""
    parts = apart(packed(SAID))
    at = data.draw(st.integers(0, len(parts) - 2))
    kind, meta, body = parts[at]
    place: Any = meta
    key = data.draw(st.sampled_from(sorted(meta)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    parts[at] = (kind, meta, body)
    check(together(parts))
