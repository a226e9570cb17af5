"""Sessions forked, rewound, exported and imported, as clients see it on the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from autoglmd.config.rooms import ServerConfig
from autoglmd.edge.server import EdgeServer
from autoglmd.edge.session_files import PIECE_BYTES
from autoglmd.edge.sessions import SessionsServicer
from autoglmd.errors.availability import TransfersBusyError
from autoglmd.errors.session import SessionNewerError
from autoglmd.host.clock import SystemClock
from autoglmd.messages.sessions import Place
from openglm.v1 import sessions_pb2
from openglm.v1.sessions_pb2 import (
    ExportSessionRequest,
    ForkSessionRequest,
    ImportSessionRequest,
    RewindSessionRequest,
)
from tests.contract.conftest import Door
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_sessions import FakeSessions
from tests.support.rich_status import reason, violated_field

LIMIT_SECONDS = 10.0
STALL_SECONDS = 0.05
IMPORT = "/openglm.v1.Sessions/ImportSession"


@pytest_asyncio.fixture(name="hasty")
async def make_hasty_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """A daemon that has no patience with those who stall."""
    monkeypatch.setattr("autoglmd.edge.server.SessionsServicer", partial(SessionsServicer, stall_seconds=STALL_SECONDS))
    gateway, sessions = FakeGateway(), FakeSessions()
    server = EdgeServer(ServerConfig(socket=tmp_path / "s"), gateway, sessions, SystemClock())
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
        yield Door(gateway, sessions, server, channel)
    await server.stop(0)


async def read_to_the_end(call: grpc.aio.UnaryStreamCall) -> None:
    """Take what there is."""
    while await call.read() is not grpc.aio.EOF:
        continue


async def has_ended(door: Door) -> bool:
    """Whether nothing of the import or export is open, in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_SECONDS):
            await door.sessions.nothing_open.wait()
    return door.sessions.nothing_open.is_set()


async def test_a_session_is_shown_with_the_places_of_its_turns(door: Door) -> None:
    """Where it may be cut."""
    door.sessions.add("home")
    told = await door.session_stub.GetSession(sessions_pb2.GetSessionRequest(session_id="home"))
    assert list(told.turns) == [
        sessions_pb2.Turn(number=1, answer_start=4, end=9, messages=2),
        sessions_pb2.Turn(number=2, answer_start=14, end=30, messages=4),
    ]


async def test_a_fork_and_a_rewind_say_where(door: Door) -> None:
    """By token, by turn, or not at all; nothing is a place as well."""
    door.sessions.add("home")
    for number, at in enumerate(({"at_token": 0}, {"at_turn": 1}, {})):
        request = ForkSessionRequest(session_id="home", new_session_id=f"fork{number}", **at)
        assert (await door.session_stub.ForkSession(request)).session.session_id == f"fork{number}"
        told = await door.session_stub.RewindSession(RewindSessionRequest(session_id="home", **at))
        assert (told.session.session_id, told.session.turns) == ("home", 1)
    assert door.sessions.places == [each for at in (Place(token=0), Place(turn=1), None) for each in (at, at)]


async def test_a_fork_onto_a_session_is_refused(door: Door) -> None:
    """ALREADY_EXISTS, with its name; and one of nothing is NOT_FOUND."""
    door.sessions.add("home")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.ForkSession(ForkSessionRequest(session_id="home", new_session_id="home"))
    assert (failure.value.code(), reason(failure.value)) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.ForkSession(ForkSessionRequest(session_id="home"))
    assert violated_field(failure.value) == "new_session_id"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.RewindSession(RewindSessionRequest(session_id="nobody"))
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_file_goes_out_piece_by_piece(door: Door) -> None:
    """As the rooms below give it."""
    door.sessions.add("home")
    call = door.session_stub.ExportSession(ExportSessionRequest(session_id="home"))
    assert [each.data async for each in call] == [b"first", b"second"]
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.ExportSession(ExportSessionRequest(session_id="nobody")).read()
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_client_that_leaves_an_export_ends_it(door: Door) -> None:
    """Whatever was open for it is closed, and the rest is not read."""
    door.sessions.add("home")
    pieces = iter([b"x" * PIECE_BYTES] * 64)
    door.sessions.file = pieces
    call = door.session_stub.ExportSession(ExportSessionRequest(session_id="home"))
    await call.read()
    call.cancel()
    assert await has_ended(door)
    assert next(pieces, None) is not None


async def test_a_client_that_does_not_read_is_given_up(hasty: Door) -> None:
    """What it does not take is not heaped up for it."""
    hasty.sessions.add("home")
    sent: list[int] = []

    async def exported(key: object) -> AsyncIterator[bytes]:
        try:
            for number in range(256):
                sent.append(number)
                yield b"x" * PIECE_BYTES
        finally:
            hasty.sessions.nothing_open.set()

    hasty.sessions.exported = exported  # type: ignore[method-assign,assignment]
    call = hasty.session_stub.ExportSession(ExportSessionRequest(session_id="home"))
    await call.read()
    assert await has_ended(hasty)
    assert len(sent) < 64
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await read_to_the_end(call)
    assert (failure.value.code(), reason(failure.value)) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "TRANSFER_STALLED",
    )


async def test_a_file_comes_in_and_becomes_a_session(door: Door) -> None:
    """The first message names it, with or without the file's beginning."""
    for name, data in (("a", b""), ("b", b"0")):
        requests = [ImportSessionRequest(session_id=name, data=data), *(ImportSessionRequest(data=b"12") for _ in "ab")]
        told = await door.session_stub.ImportSession(iter(requests))
        assert told.session.session_id == name
        assert door.sessions.files[name] == data + b"1212"


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "session_id"),
        ([ImportSessionRequest(data=b"1")], "session_id"),
        ([ImportSessionRequest(session_id="a"), ImportSessionRequest(session_id="a", data=b"1")], "session_id"),
        ([ImportSessionRequest(session_id="a", data=b"x" * (PIECE_BYTES + 1))], "data"),
    ],
    ids=["nothing", "no name", "name again", "too large"],
)
async def test_messages_that_are_no_file_of_a_session_are_refused(
    door: Door, requests: list[ImportSessionRequest], field: str
) -> None:
    """By the field's name; no session comes of it."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await door.session_stub.ImportSession(iter(requests))
    assert (failure.value.code(), violated_field(failure.value)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert door.sessions.known == {}


async def test_bytes_that_are_no_message_are_refused_wherever_they_come(door: Door) -> None:
    """The first, or one in the middle."""
    name = ImportSessionRequest(session_id="a", data=b"1").SerializeToString()
    for raws, field in (([b"\xff"], "request"), ([name, b"\x0a\x05ab"], "request"), ([b"\x0a\x01\xff"], "session_id")):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await door.channel.stream_unary(IMPORT)(iter(raws))
        assert (failure.value.code(), violated_field(failure.value)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert door.sessions.known == {}


async def test_a_client_that_stalls_for_ever_is_given_up(hasty: Door) -> None:
    """Before its first message, and behind it."""
    for requests in ([], [ImportSessionRequest(session_id="a", data=b"1")]):
        call = hasty.session_stub.ImportSession()
        for request in requests:
            await call.write(request)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        assert reason(failure.value) == "TRANSFER_STALLED"
    assert hasty.sessions.nothing_open.is_set()
    assert hasty.sessions.known == {}


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_a_client_that_leaves_an_import_leaves_nothing_open(door: Door, how: str) -> None:
    """By itself, or because its time is over. To gRPC that is as if it had sent all: the file's own end tells."""
    call = door.session_stub.ImportSession(timeout=0.2 if how == "deadline" else None)
    await call.write(ImportSessionRequest(session_id="a", data=b"1"))
    async with asyncio.timeout(LIMIT_SECONDS):
        await door.sessions.came.wait()
    if how == "cancel":
        call.cancel()
    assert await has_ended(door)
    assert door.sessions.files == {"a": b"1"}


async def test_refusals_of_files_have_their_statuses(door: Door) -> None:
    """What to do is different for each."""
    for error, code in (
        (TransfersBusyError(4), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (SessionNewerError(Path("The file"), 2, 1), grpc.StatusCode.FAILED_PRECONDITION),
    ):

        async def refuse(key: object, pieces: object, error: Exception = error) -> None:
            raise error

        door.sessions.imported = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await door.session_stub.ImportSession(iter([ImportSessionRequest(session_id="a")]))
        assert (failure.value.code(), reason(failure.value)) == (code, error.code)
