"""Sessions that travel as files answer on the other side as if they had never left."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.availability import TransfersBusyError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionError, SessionExistsError, SessionNewerError, SessionNotFoundError
from autoglmd.host.spool import Spool
from autoglmd.messages.generation import Finished, SamplingParams
from autoglmd.messages.sessions import CacheMiss, Place
from autoglmd.pipeline.transfers import EACH_AT_ONCE, PIECE_BYTES
from tests.support.cut_sessions import LONG, desk_of, key_of, pieces_of, substance, told_of
from tests.support.session_box import GREEDY, LIMIT_SECONDS, NO_MEMORY, SEEDED, USUAL, Box, ids_of, started
from tests.support.session_files import of_version

TURNS = ("你好", "turn on the light")
OTHER = "something else"

Open = Callable[..., Box]


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, unless another is named."""
    boxes: list[Box] = []

    def make(name: str = "tiny-int8", sessions: SessionsConfig = USUAL, where: str = "box") -> Box:
        boxes.append(Box(tmp_path / where, name, sessions))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.stop()


async def file_of(box: Box, session: str = "s") -> bytes:
    """A session's file."""
    return b"".join([piece async for piece in desk_of(box).exported(key_of(session))])


async def tell(box: Box, session: str = "s", sampling: SamplingParams = GREEDY) -> None:
    """Two turns."""
    for text in TURNS:
        await box.ask(text, session, sampling=sampling)


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", ["tiny-fp32", "tiny-int8"])
async def test_a_session_exported_deleted_and_imported_answers_as_one_that_never_left(
    open_box: Open, name: str, sampling: SamplingParams
) -> None:
    """Byte for byte, on the same box and on another, after a restart."""
    quiet, box = open_box(name, where="quiet"), open_box(name, NO_MEMORY)
    for each in (quiet, box):
        await tell(each, "s", sampling)
    file = await file_of(box)
    await desk_of(box).delete(key_of("s"))
    info = await desk_of(box).imported(key_of("s"), pieces_of(file))
    assert (info.turns, info.cached_tokens, info.disk_bytes > 0) == (2, info.tokens - 1, True)
    assert substance(told_of(box)) == substance(told_of(quiet))
    await desk_of(open_box(name, where="far")).imported(key_of("t"), pieces_of(file[:100], file[100:]))
    answer = ids_of(await quiet.ask(OTHER, "s", sampling=sampling, max_tokens=LONG))
    assert ids_of(await box.ask(OTHER, "s", sampling=sampling, max_tokens=LONG)) == answer


async def test_an_exported_cut_has_nothing_of_what_was_taken_back(open_box: Open) -> None:
    """The file is that of a session never told further, but for its times."""
    box, quiet = open_box(), open_box(where="quiet")
    await tell(box)
    await quiet.ask(TURNS[0], "s")
    await desk_of(box).rewind(key_of("s"), Place(turn=1))
    assert TURNS[1].encode() not in await file_of(box)
    assert len(await file_of(box)) == pytest.approx(len(await file_of(quiet)), abs=40)


async def test_a_model_that_is_not_here_leaves_its_text(open_box: Open) -> None:
    """Whatever model is asked takes the conversation up from that."""
    box = open_box("tiny-per-token")
    await tell(box)
    far = open_box("tiny-int8", where="far")
    info = await desk_of(far).imported(key_of("s"), pieces_of(await file_of(box)))
    assert (info.turns, info.cached_tokens) == (2, 0)
    events = await far.ask(OTHER, "s")
    assert started(events).cache.miss is CacheMiss.MODEL_CHANGED
    assert isinstance(events[-1], Finished)
    assert told_of(far).turns == 3


async def test_an_import_takes_nobodys_name(open_box: Open) -> None:
    """Neither before it came, nor where somebody begins the session meanwhile."""
    box = open_box()
    await tell(box)
    file = await file_of(box)
    with pytest.raises(SessionExistsError):
        await desk_of(box).imported(key_of("s"), pieces_of(file))

    async def slowly() -> AsyncIterator[bytes]:
        yield file[:10]
        await box.ask("mine", "new")
        yield file[10:]

    with pytest.raises(SessionExistsError):
        await desk_of(box).imported(key_of("new"), slowly())
    assert told_of(box, "new").messages[0].content == "mine"
    with pytest.raises(SessionNotFoundError):
        await file_of(box, "nobody")


async def test_what_is_no_session_is_refused_and_leaves_nothing(open_box: Open, tmp_path: Path) -> None:
    """Damaged, cut off, newer, or too large; the name is free."""
    small = SessionsConfig(import_bytes=100_000, tenant_bytes=60_000)
    box = open_box(sessions=small)
    await box.ask(TURNS[0], "s")
    file = await file_of(box)
    for wrong in (b"", file[:-1], file[:200] + b"x" + file[201:], file + file):
        with pytest.raises(InvalidArgumentError, match="no whole session"):
            await desk_of(box).imported(key_of("new"), pieces_of(wrong))
    with pytest.raises(SessionNewerError, match="The file has records of version 3"):
        await desk_of(box).imported(key_of("new"), pieces_of(of_version(3, file)))
    with pytest.raises(InvalidArgumentError, match="longer than the 60000 bytes"):
        await desk_of(box).imported(key_of("new"), pieces_of(*[b"x" * 10_000] * 7))
    assert [entry.session_id for entry in box.book.sessions("local")] == ["s"]
    assert list((tmp_path / "box" / "sessions" / "transit").iterdir()) == []


async def test_who_reads_slowly_keeps_nobody_from_the_session(open_box: Open) -> None:
    """The file is as it was when it was begun, whatever is said meanwhile."""
    box = open_box()
    await tell(box)
    whole = await file_of(box)
    reading = desk_of(box).exported(key_of("s"))
    first = await anext(reading)
    assert not box.book.leases.is_taken(key_of("s"))
    await box.ask(OTHER, "s")
    await desk_of(box).delete(key_of("s"))
    assert first + b"".join([piece async for piece in reading]) == whole


async def test_a_file_comes_in_pieces(open_box: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of at most the size that the contract says."""
    monkeypatch.setattr("autoglmd.pipeline.transfers.PIECE_BYTES", 100)
    box = open_box()
    await tell(box)
    pieces = [piece async for piece in desk_of(box).exported(key_of("s"))]
    assert {len(piece) for piece in pieces[:-1]} == {100}
    assert PIECE_BYTES == 1 << 20
    await desk_of(box).imported(key_of("new"), pieces_of(*pieces))


async def test_a_few_travel_at_once_and_the_next_is_told_so(open_box: Open) -> None:
    """Who leaves makes room, in the middle of whatever was done for him."""
    box = open_box()
    await tell(box)
    desk = desk_of(box)
    readers = [desk.exported(key_of("s")) for _ in range(EACH_AT_ONCE)]
    for reader in readers:
        await anext(reader)
    with pytest.raises(TransfersBusyError, match=f"{EACH_AT_ONCE} sessions"):
        await desk.imported(key_of("new"), pieces_of(b"x"))
    # Another tenant's place is not theirs to take.
    with pytest.raises(SessionNotFoundError):
        await anext(desk.exported(replace(key_of("s"), tenant="certificate:a")))
    for reader in readers:
        await reader.aclose()
    stuck = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"AGLS"
        stuck.set()
        await asyncio.Event().wait()

    importing = [asyncio.create_task(desk.imported(key_of("new"), stalled())) for _ in range(EACH_AT_ONCE)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await stuck.wait()
        for task in importing:
            task.cancel()
        await asyncio.wait(importing)
    assert await file_of(box)
    assert not box.book.leases.is_taken(key_of("new"))


async def test_an_import_that_waits_for_its_session_holds_its_place(open_box: Open) -> None:
    """It is in memory: another one is refused. Who leaves takes it along, and the session stays as it was."""
    box = open_box()
    await tell(box)
    file, desk = await file_of(box), desk_of(box)
    async with asyncio.timeout(LIMIT_SECONDS):
        async with box.book.leases.held(key_of("new")):
            waiting = [asyncio.create_task(desk.imported(key_of("new"), pieces_of(file))) for _ in range(EACH_AT_ONCE)]
            while len(box.book.leases._lines[key_of("new")]) < 1 + EACH_AT_ONCE:  # noqa: ASYNC110 - a line has no event
                await asyncio.sleep(0)
            with pytest.raises(TransfersBusyError):
                await desk.imported(key_of("other"), pieces_of(file))
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            await asyncio.sleep(0)
            assert len(box.book.leases._lines[key_of("new")]) == 1
        with pytest.raises(SessionNotFoundError):
            await desk.one(key_of("new"))
        await desk.imported(key_of("other"), pieces_of(file))


async def test_a_disk_that_takes_no_more_is_said_to(open_box: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the session is as it was."""
    box = open_box()
    await tell(box)
    file = await file_of(box)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Spool, "append", full)
    with pytest.raises(SessionError, match=r"exported.*No space"):
        await file_of(box)
    with pytest.raises(SessionError, match=r"imported.*No space"):
        await desk_of(box).imported(key_of("new"), pieces_of(file))
    assert started(await box.ask(OTHER, "s")).cache.miss is None


async def test_what_a_crash_left_of_a_transfer_goes_at_the_next_start(open_box: Open, tmp_path: Path) -> None:
    """Where a file system knows no files without names."""
    left = tmp_path / "box" / "sessions" / "transit" / "tmpabc.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    box = open_box()
    await tell(box)
    await box.saved()
    assert not left.exists()
