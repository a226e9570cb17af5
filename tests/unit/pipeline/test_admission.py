"""The door: who is let in, and who is in."""

import asyncio
from dataclasses import replace

import pytest

from autoglmd.errors.availability import DrainingError, QueueFullError
from autoglmd.errors.request import RequestIdInUseError
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import GenerationRequest, SamplingParams, TextPrompt
from autoglmd.pipeline.admission import Admission, OpenRequest
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.stream import AnswerStream
from tests.support.fixture_models import tokenizer_of

LIMIT_SECONDS = 10.0
TOKENIZER = tokenizer_of("tiny-per-token")


class Served:
    """The line of a model, which is all of it that the door knows."""

    def __init__(self, rows: int = 2, places: int = 1) -> None:
        self.line = Line(rows, places)


def request(name: str, served: Served, tenant: str | None = None) -> OpenRequest:
    """Somebody at the door."""
    asked = GenerationRequest(name, "", TextPrompt("x"), SamplingParams(), None, (), False, None, 0.0, "")
    asked = replace(asked, tenant=tenant)
    stream = AnswerStream(asked, "tiny", "v1", TOKENIZER, SystemClock())
    return OpenRequest(Job(asked, f"{name}#0", lambda _: None), served, stream)  # type: ignore[arg-type]


def fill(admission: Admission, served: Served) -> list[OpenRequest]:
    """Let in as many as there are places, r0, r1, ..."""
    entries = [request(f"r{number}", served) for number in range(3)]
    for entry in entries:
        admission.enter(entry)
    return entries


def test_a_refused_request_leaves_nothing_behind() -> None:
    """A full line is counted; the id is free, and the place of another that leaves is enough."""
    admission, served = Admission(), Served()
    first, *_ = fill(admission, served)
    late = request("late", served)
    with pytest.raises(QueueFullError):
        admission.enter(late)
    assert (admission.refused, admission.count, admission.find("late", None)) == (1, 3, None)
    admission.leave(first)
    admission.enter(late)
    assert admission.find("late", None) is late


def test_an_id_is_in_use_until_its_request_has_left() -> None:
    """Two running requests never share an id; afterwards it is free again, in the same moment."""
    admission, served = Admission(), Served()
    first = request("r", served)
    admission.enter(first)
    with pytest.raises(RequestIdInUseError):
        admission.enter(request("r", served))
    admission.leave(first)
    admission.enter(request("r", served))


def test_a_duplicate_takes_no_place() -> None:
    """Refusing an id that is in use does not count as somebody who came in."""
    admission, served = Admission(), Served(1, 1)
    admission.enter(request("r", served))
    with pytest.raises(RequestIdInUseError):
        admission.enter(request("r", served))
    admission.enter(request("other", served))


async def test_nobody_comes_in_while_draining() -> None:
    """Draining is looked at before all else, and is not counted as a full line."""
    admission, served = Admission(), Served()
    entries = fill(admission, served)
    assert await admission.drain(0) == tuple(entries)
    with pytest.raises(DrainingError):
        admission.enter(request("late", served))
    assert admission.is_draining
    assert admission.refused == 0


async def test_draining_waits_for_the_last_one() -> None:
    """Not for the first; and once all have left, nobody is late."""
    admission, served = Admission(), Served()
    entries = fill(admission, served)
    drain = asyncio.create_task(admission.drain(LIMIT_SECONDS))
    for entry in entries:
        await asyncio.sleep(0)
        assert not drain.done()
        admission.leave(entry)
    assert await drain == ()


def test_lines_of_two_models_do_not_fill_each_other() -> None:
    """One model's crowd is not another's."""
    admission = Admission()
    fill(admission, Served())
    admission.enter(request("elsewhere", Served(1, 0)))
    assert admission.count == 4


def test_a_request_id_is_its_tenants_own() -> None:
    """Another's is neither refused for it, nor ended by it."""
    admission, served = Admission(), Served()
    entries = [request("same", served, tenant) for tenant in ("alice", "eve", None)]
    for entry in entries:
        admission.enter(entry)
    assert [admission.find("same", tenant) for tenant in ("alice", "eve", None)] == entries
    with pytest.raises(RequestIdInUseError):
        admission.enter(request("same", served, "eve"))
    assert admission.find("same", "bob") is None
    admission.leave(entries[1])
    assert admission.find("same", "eve") is None
    assert admission.find("same", "alice") is entries[0]
