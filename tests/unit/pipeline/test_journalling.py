"""The thread that journals answers: nobody waits for it, and what it writes is durable in groups."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline import journalling
from autoglmd.pipeline.open_answer import OpenAnswer
from autoglmd.sessions.journal import MAX_ANSWER_BYTES, Addition
from tests.support.answers import answer
from tests.support.conversations import KEY, NOW
from tests.support.journal_rig import LIMIT_SECONDS, NEVER_SECONDS, OTHER, TURN, Rig, name_of

Open = Callable[..., Rig]


@pytest.fixture(name="open_rig")
def make_rigs(tmp_path: Path) -> Iterator[Open]:
    """Rigs that are stopped afterwards."""
    rigs: list[Rig] = []

    def make(**settings: float) -> Rig:
        rigs.append(Rig(tmp_path, **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.journal.fault = None
        rig.journal.gate.set()
        rig.thread.stop(LIMIT_SECONDS)
        rig.journal.close()


def test_an_answers_beginning_is_durable_before_anything_is_drawn(open_rig: Open) -> None:
    """Though tokens may wait for long: it is all that it takes to give the answer again."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    assert rig.written() == answer()
    assert rig.thread.stop(LIMIT_SECONDS)
    assert rig.thread.unwritten == 0


def test_tokens_of_all_answers_are_committed_together(open_rig: Open) -> None:
    """In the order in which they were drawn, once per interval and not once per token."""
    rig = open_rig(seconds=0.005)
    keys = [SessionKey("local", str(number)) for number in range(8)]
    for key in keys:
        rig.thread.begin(answer(key))
    rig.journal.gate.clear()
    rig.journal.reached.clear()
    for place in range(100):
        for key in keys:
            rig.thread.drew(key, place, place + 5)
    assert rig.journal.reached.wait(LIMIT_SECONDS)
    rig.journal.gate.set()
    for key in keys:
        rig.wait_written(*range(5, 105), key=key)
    # The beginnings, what was drawn until the gate was closed, and the rest.
    assert len([commit for commit in rig.journal.commits if any(each.ids for each in commit)]) <= 8


def test_nobody_waits_for_the_disk(open_rig: Open) -> None:
    """A commit may take for ever; what is drawn meanwhile is known, and is written behind it."""
    rig = open_rig()
    rig.thread.begin(answer())
    rig.wait_written()
    rig.journal.gate.clear()
    rig.journal.reached.clear()
    rig.thread.drew(KEY, 0, 7)
    assert rig.journal.reached.wait(LIMIT_SECONDS)
    rig.thread.drew(KEY, 1, 8)
    rig.thread.ended(KEY, FinishReason.STOP)
    rig.thread.over(KEY)
    assert rig.thread.find(KEY) == replace(answer(), drawn=(7, 8), end=FinishReason.STOP)
    rig.journal.gate.set()
    rig.wait_written(7, 8)
    assert rig.written() == rig.thread.find(KEY)


def test_a_token_that_is_known_is_nothing_new(open_rig: Open) -> None:
    """An answer that is taken up tells all of its tokens again."""
    rig = open_rig()
    rig.thread.begin(replace(answer(), drawn=(7, 8)))
    for place, token in enumerate((1, 2, 9)):
        rig.thread.drew(KEY, place, token)
    rig.wait_written(7, 8, 9)
    written = rig.written()
    assert written is not None
    assert written.drawn == (7, 8, 9)


def test_an_answer_that_is_taken_up_keeps_its_beginning_and_its_end(open_rig: Open) -> None:
    """It began when it began; and if it had ended, it has."""
    rig = open_rig()
    rig.thread.begin(replace(answer(begun=5.0), drawn=(7,), end=FinishReason.CANCELLED))
    rig.wait_written(7)
    assert rig.written() == replace(answer(begun=5.0), drawn=(7,), end=FinishReason.CANCELLED)


def test_what_is_said_of_no_answer_is_not_heard(open_rig: Open) -> None:
    """Its prompt was too long for the journal, or the disk takes nothing for long."""
    rig = open_rig()
    rig.thread.begin(answer(text="a" * MAX_ANSWER_BYTES))
    rig.thread.drew(KEY, 0, 7)
    rig.thread.ended(KEY, FinishReason.STOP)
    rig.thread.over(KEY)
    assert rig.thread.find(KEY) is None


def test_without_an_interval_tokens_are_written_when_the_answer_is_over(open_rig: Open) -> None:
    """Its beginning is durable at once all the same."""
    rig = open_rig(seconds=0.0)
    rig.thread.begin(answer())
    rig.wait_written()
    for place in range(5):
        rig.thread.drew(KEY, place, place)
    assert rig.thread.unwritten == 1
    rig.thread.over(KEY)
    rig.wait_written(0, 1, 2, 3, 4)


def test_a_journal_that_refuses_is_said_once_and_tried_again(open_rig: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost, as long as the daemon lives."""
    rig = open_rig()
    rig.journal.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with caplog.at_level(logging.INFO, journalling.__name__):
        rig.thread.begin(answer())
        rig.thread.drew(KEY, 0, 7)
        rig.thread.over(KEY)
        rig.journal.wait_for(lambda: len(rig.journal.commits) > 3)
        found = rig.thread.find(KEY)
        assert found is not None
        assert found.drawn == (7,)
        rig.journal.fault = None
        rig.wait_written(7)
        # Once it is written, the disk is asked.
        assert rig.thread.stop(LIMIT_SECONDS)
    told = [record.message for record in caplog.records]
    assert len([message for message in told if "not journalled for now" in message]) == 1
    assert told.count("answers are journalled again") == 1


def test_a_defect_of_ours_does_not_end_the_thread(open_rig: Open) -> None:
    """As a journal that refuses."""
    rig = open_rig()
    rig.journal.fault = ZeroDivisionError()
    rig.thread.begin(answer())
    rig.journal.wait_for(lambda: len(rig.journal.commits) > 1)
    rig.journal.fault = None
    rig.wait_written()
    assert rig.thread.is_whole


def test_an_answer_that_cannot_be_written_keeps_no_other_from_the_journal(
    open_rig: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given up, and said; those of the same commit are all there, and so is what they say later."""
    rig = open_rig()
    rig.journal.gate.clear()
    rig.thread.begin(answer(SessionKey("local", "first")))
    assert rig.journal.reached.wait(LIMIT_SECONDS)
    # Half of a surrogate pair is no text that UTF-8 could hold.
    broken = answer(OTHER, text="\ud83d")
    for each in (broken, answer()):
        rig.thread.begin(each)
    with caplog.at_level(logging.ERROR, journalling.__name__):
        rig.journal.gate.set()
        rig.wait_written()
        rig.thread.drew(KEY, 0, 7)
        rig.wait_written(7)
    assert rig.thread.find(OTHER) is None
    assert [record.message for record in caplog.records] == ["an answer cannot be journalled, and not be taken up"]


def test_a_box_without_memory_for_a_batch_journals_it_later(open_rig: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stays, or the watchdog would kill every answer; and nobody waits for it in vain."""
    rig = open_rig()
    reached = threading.Event()

    def fail(_: OpenAnswer) -> Addition:
        reached.set()
        raise MemoryError

    with monkeypatch.context() as full:
        full.setattr(OpenAnswer, "addition", property(fail))
        rig.thread.begin(answer())
        assert reached.wait(LIMIT_SECONDS)
    rig.wait_written()
    rig.thread.forget(KEY)
    assert rig.thread.is_whole


def test_what_a_disk_does_not_take_is_bounded(open_rig: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers that are over go, what was told to its end last; those that are given stay."""
    monkeypatch.setattr(journalling, "_MOST_UNWRITTEN_BYTES", 5 * answer().size)
    rig = open_rig()
    rig.journal.fault = OSError(errno.EIO, "broken")
    rig.thread.begin(answer())
    rig.thread.begin(answer(OTHER))
    rig.thread.said(OTHER, TURN)
    rig.thread.over(OTHER)
    for number in range(20):
        key = SessionKey("local", str(number))
        rig.thread.begin(answer(key))
        rig.thread.over(key)
    assert rig.thread.unwritten <= 6
    assert rig.thread.find(KEY) is not None
    assert rig.thread.find(SessionKey("local", "19")) is not None
    assert rig.thread.find(SessionKey("local", "0")) is None
    assert rig.thread.last_turn(OTHER) == (answer(OTHER), TURN)


def test_stopping_writes_what_is_unwritten(open_rig: Open) -> None:
    """Whatever the interval is."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    rig.thread.drew(KEY, 0, 7)
    assert rig.thread.stop(LIMIT_SECONDS)
    found = rig.written()
    assert found is not None
    assert found.drawn == (7,)
    assert not rig.thread.is_whole


def test_stopping_says_what_is_lost(open_rig: Open) -> None:
    """A disk that refuses at the end is tried once more, and not waited for."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    rig.journal.fault = OSError(errno.EIO, "broken")
    rig.thread.drew(KEY, 0, 7)
    assert not rig.thread.stop(LIMIT_SECONDS)
    assert not rig.thread.is_whole


def test_a_session_that_is_forgotten_is_not_written_again(open_rig: Open) -> None:
    """One that is being written is waited for, so that it does not come back."""
    rig = open_rig()
    rig.thread.begin(answer())
    rig.wait_written()
    rig.journal.gate.clear()
    rig.journal.reached.clear()
    rig.thread.drew(KEY, 0, 7)
    assert rig.journal.reached.wait(LIMIT_SECONDS)
    forgetting = threading.Thread(target=rig.thread.forget, args=(KEY,))
    forgetting.start()
    assert forgetting.is_alive()
    rig.journal.gate.set()
    forgetting.join(LIMIT_SECONDS)
    rig.thread.begin(answer(OTHER))
    rig.wait_written(key=OTHER)
    assert rig.thread.find(KEY) is None


def test_a_start_tells_how_many_answers_can_be_taken_up(open_rig: Open, caplog: pytest.LogCaptureFixture) -> None:
    """And what a kill may have cost."""
    first = open_rig()
    for key in (KEY, OTHER):
        first.thread.begin(answer(key))
    first.thread.ended(OTHER, FinishReason.LENGTH)
    assert first.thread.stop(LIMIT_SECONDS)
    with caplog.at_level(logging.INFO, journalling.__name__):
        second = open_rig(seconds=0.25)
        assert second.thread.stop(LIMIT_SECONDS)
    (record,) = caplog.records
    assert "can be taken up" in record.message
    assert (record.__dict__["answers"], record.__dict__["journal_seconds"]) == (1, 0.25)


def test_what_is_remembered_is_durable_though_tokens_may_wait(open_rig: Open) -> None:
    """From when the answer is over; a reader that takes it up does not cost it before it ends anew."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    rig.thread.drew(KEY, 0, 7)
    rig.thread.ended(KEY, FinishReason.STOP)
    assert rig.thread.last_turn(KEY) is None
    rig.thread.said(KEY, TURN)
    assert rig.thread.last_turn(KEY) == (answer(), TURN)
    rig.thread.over(KEY)
    rig.journal.wait_for(lambda: rig.journal.turn(name_of(KEY)) == TURN)
    rig.wait_let_go(KEY)
    found = rig.written()
    assert found is not None
    assert rig.thread.last_turn(KEY) == (found, TURN)
    rig.thread.said(OTHER, TURN)
    assert rig.thread.unwritten == 0


def test_what_is_remembered_stays_while_the_answer_is_taken_up(open_rig: Open) -> None:
    """It may still be nowhere else. Another answer has nothing to do with it."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.journal.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    rig.thread.begin(answer())
    rig.thread.said(KEY, TURN)
    rig.thread.begin(answer())
    assert rig.thread.last_turn(KEY) == (answer(), TURN)
    rig.thread.begin(replace(answer(), begun=NOW + 1))
    assert rig.thread.last_turn(KEY) is None
