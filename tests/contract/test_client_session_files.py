"""Forking, rewinding, exporting and importing sessions through both clients, against a real server on a Unix socket."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import openglm
from openglm import AsyncClient, Client, RetryPolicy, Turn
from openglm.v1 import admin_pb2, inference_pb2, sessions_pb2
from tests.support.scripted_server import LOST, ScriptedServer, refusal

HOME = sessions_pb2.Session(session_id="home", turns=2, tokens=30, disk_bytes=4096, cached_tokens=28)
FORKED = sessions_pb2.ForkSessionResponse(session=HOME)
REWOUND = sessions_pb2.RewindSessionResponse(session=HOME)
IMPORTED = sessions_pb2.ImportSessionResponse(session=HOME)
EXISTS = refusal("ALREADY_EXISTS", "SESSION_EXISTS", session_id="home")
LARGE = bytes(range(256)) * (5 << 10)


def pieces(*data: bytes) -> list[sessions_pb2.ExportSessionResponse]:
    """A file as it is sent."""
    return [sessions_pb2.ExportSessionResponse(data=each) for each in data]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted daemon that runs during the test."""
    with ScriptedServer(tmp_path / "s") as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    """A client of it that does not really wait."""
    with Client(server.path, retry=RetryPolicy(jitter=lambda: 0.0), sleep=lambda _: None) as client:
        yield client


def test_a_session_tells_where_its_turns_lie(server: ScriptedServer, client: Client) -> None:
    """There it may be forked and rewound."""
    turn = sessions_pb2.Turn(number=1, answer_start=4, end=9, messages=2)
    server.answer("GetSession", sessions_pb2.GetSessionResponse(session=HOME, turns=[turn]))
    session = client.session("home")
    assert session.turns == (Turn(number=1, answer_start=4, end=9, messages=2),)
    assert session.info.cached_tokens == 28


async def test_a_session_is_forked_and_rewound_where_one_says(server: ScriptedServer, client: Client) -> None:
    """At a token, at a turn, or where the daemon does without either; the answer tells of what is there now."""
    server.answer("ForkSession", FORKED)
    server.answer("RewindSession", REWOUND)
    assert client.fork_session("home", "away", at_token=0).tokens == 30
    client.fork_session("home", "away")
    assert client.rewind_session("home", at_turn=1).turns == 2
    async with AsyncClient(server.path) as other:
        await other.fork_session("home", "away", at_turn=1)
        await other.rewind_session("home")
    assert server.requests == [
        sessions_pb2.ForkSessionRequest(session_id="home", new_session_id="away", at_token=0),
        sessions_pb2.ForkSessionRequest(session_id="home", new_session_id="away"),
        sessions_pb2.RewindSessionRequest(session_id="home", at_turn=1),
        sessions_pb2.ForkSessionRequest(session_id="home", new_session_id="away", at_turn=1),
        sessions_pb2.RewindSessionRequest(session_id="home"),
    ]


def test_two_places_are_one_too_many(server: ScriptedServer, client: Client) -> None:
    """Nothing is sent."""
    with pytest.raises(openglm.InvalidArgumentError, match="at most one"):
        client.rewind_session("home", at_token=1, at_turn=1)
    assert server.requests == []


def test_what_was_perhaps_done_is_not_done_twice(server: ScriptedServer, client: Client) -> None:
    """A second rewind would take back another turn. A refusal that says so has done nothing."""
    server.answer("RewindSession", LOST)
    with pytest.raises(openglm.ConnectionLostError):
        client.rewind_session("home")
    server.forget()
    server.answer("RewindSession", refusal("UNAVAILABLE", "DRAINING"), REWOUND)
    client.rewind_session("home")
    assert len(server.requests) == 3


async def test_what_was_perhaps_done_is_not_done_twice_by_the_asyncio_client(server: ScriptedServer) -> None:
    """As with the blocking client."""
    server.answer("ForkSession", LOST)
    async with AsyncClient(server.path) as client:
        with pytest.raises(openglm.ConnectionLostError):
            await client.fork_session("home", "away")
    assert len(server.requests) == 1


def test_a_session_is_not_deleted_twice(server: ScriptedServer, client: Client) -> None:
    """The second time, it would be one that somebody has begun since, or an error though it went well."""
    server.answer("DeleteSession", LOST, sessions_pb2.DeleteSessionResponse())
    with pytest.raises(openglm.ConnectionLostError):
        client.delete_session("home")
    assert len(server.requests) == 1


def test_a_session_that_is_there_already_is_a_typed_error(server: ScriptedServer, client: Client) -> None:
    """By its name."""
    server.answer("ForkSession", EXISTS)
    with pytest.raises(openglm.SessionExistsError) as caught:
        client.fork_session("away", "home")
    assert caught.value.session_id == "home"


async def test_an_export_is_its_bytes_or_a_file(server: ScriptedServer, client: Client, tmp_path: Path) -> None:
    """The file is for its owner's eyes; what is written is told."""
    told: list[int] = []
    server.answer("ExportSession", *pieces(b"ab", b"c"))
    assert list(client.export_session("home")) == [b"ab", b"c"]
    server.answer("ExportSession", *pieces(b"ab", b"c"))
    assert client.export_session("home").save(tmp_path / "home", told.append) == 3
    async with AsyncClient(server.path) as other:
        server.answer("ExportSession", *pieces(b"ab", b"c"))
        assert [piece async for piece in other.export_session("home")] == [b"ab", b"c"]
        server.answer("ExportSession", *pieces(b"xyz"))
        await other.export_session("home").save(tmp_path / "home")
    assert told == [2, 3]
    assert ((tmp_path / "home").read_bytes(), (tmp_path / "home").stat().st_mode & 0o777) == (b"xyz", 0o600)
    assert {request.session_id for request in server.requests} == {"home"}


async def test_half_an_export_leaves_what_was_there(server: ScriptedServer, client: Client, tmp_path: Path) -> None:
    """And nothing beside it. Before its first byte, an export is tried again as other calls are."""
    file = tmp_path / "files" / "home"
    file.parent.mkdir()
    file.write_bytes(b"before")
    server.answer("ExportSession", *pieces(b"ab"), LOST)
    with pytest.raises(openglm.ConnectionLostError):
        client.export_session("home").save(file)
    async with AsyncClient(server.path) as other:
        server.answer("ExportSession", *pieces(b"ab"), LOST)
        with pytest.raises(openglm.ConnectionLostError):
            await other.export_session("home").save(file)
    assert [(each.name, each.read_bytes()) for each in file.parent.iterdir()] == [("home", b"before")]
    server.answer("ExportSession", refusal("RESOURCE_EXHAUSTED", "TRANSFERS_BUSY", retry_after=0.1), *pieces(b"ab"))
    with pytest.raises(openglm.TransfersBusyError):
        list(Client(server.path, retry=openglm.NO_RETRIES).export_session("home"))
    assert list(client.export_session("home")) == [b"ab"]


def path_of(data: bytes, folder: Path) -> Any:
    """A file's name."""
    (folder / "home.session").write_bytes(data)
    return folder / "home.session"


def file_of(data: bytes, _: Path) -> Any:
    """What can be read."""
    return io.BytesIO(data)


def iterable_of(data: bytes, _: Path) -> Any:
    """Pieces, an empty one among them."""
    return iter([data[:3], b"", data[3:]])


@pytest.mark.parametrize("given", [path_of, file_of, iterable_of])
@pytest.mark.parametrize("data", [LARGE, b""], ids=["large", "empty"])
async def test_a_file_is_imported_piece_by_piece(
    server: ScriptedServer, client: Client, tmp_path: Path, given: Callable[[bytes, Path], Any], data: bytes
) -> None:
    """The first names the session, and none is larger than may be, by both clients."""
    server.answer("ImportSession", IMPORTED)
    assert client.import_session("home", given(data, tmp_path)).turns == 2
    async with AsyncClient(server.path) as other:
        await other.import_session("home", given(data, tmp_path))
    assert server.requests == [sessions_pb2.ImportSessionRequest(session_id="home", data=data)] * 2


async def test_what_goes_wrong_on_this_side_is_raised_as_it_is(server: ScriptedServer, client: Client) -> None:
    """Not as gRPC's word for it, which is that something did."""

    def broken() -> Iterator[bytes]:
        yield b"ab"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        client.import_session("home", broken())
    with pytest.raises(openglm.InvalidArgumentError, match="bytes"):
        client.import_session("home", ["text"])  # type: ignore[list-item]
    with pytest.raises(openglm.InvalidArgumentError, match="session_id"):
        client.import_session(5, [b"ab"])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        client.import_session("home", "/nowhere/home.session")
    async with AsyncClient(server.path) as other:
        with pytest.raises(OSError, match="Input/output"):
            await other.import_session("home", broken())


async def test_the_daemons_refusal_of_a_file_is_typed(server: ScriptedServer, client: Client) -> None:
    """It is not whole, or there is such a session."""
    server.answer("ImportSession", EXISTS, refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="data"))
    with pytest.raises(openglm.SessionExistsError):
        client.import_session("home", [b"ab"])
    async with AsyncClient(server.path) as other:
        with pytest.raises(openglm.InvalidArgumentError):
            await other.import_session("home", [b"ab"])


def test_the_status_has_what_is_kept(server: ScriptedServer, client: Client) -> None:
    """Every figure of the contract, by its name."""
    kept = admin_pb2.SessionsStatus(sessions=3, disk_bytes=7, resumed=2, journal_seconds=0.5)
    server.answer("Status", admin_pb2.StatusResponse(sessions=kept))
    status = client.status().sessions
    assert status is not None
    assert (status.sessions, status.disk_bytes, status.resumed, status.journal_seconds) == (3, 7, 2, 0.5)
    assert {each.name for each in kept.DESCRIPTOR.fields} == set(status.__slots__)
    assert inference_pb2.CacheMiss.keys() == [f"CACHE_MISS_{miss.name}" for miss in openglm.CacheMiss]


def test_a_daemon_that_does_not_tell_of_sessions_has_not_none(server: ScriptedServer, client: Client) -> None:
    """An older one."""
    server.answer("Status", admin_pb2.StatusResponse())
    assert client.status().sessions is None
