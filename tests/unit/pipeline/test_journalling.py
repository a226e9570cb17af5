"""The thread that journals answers: nobody waits for it, and what it writes is durable in groups."""

import errno
import logging
import os
import threading
from dataclasses import replace

import pytest

from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline import journalling
from autoglmd.sessions.journal import MAX_ANSWER_BYTES
from tests.support.answers import answer
from tests.support.conversations import KEY, NOW
from tests.support.journal_rig import LIMIT_SECONDS, NEVER_SECONDS, OTHER, TURN, OpenRig, name_of


def test_an_answers_beginning_is_durable_before_anything_is_drawn(open_rig: OpenRig) -> None:
    """Though tokens may wait for long: it is all that it takes to give the answer again."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    assert rig.written() == answer()
    assert rig.thread.stop(LIMIT_SECONDS)
    assert rig.thread.unwritten == 0


def test_tokens_of_all_answers_are_committed_together(open_rig: OpenRig) -> None:
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


def test_nobody_waits_for_the_disk(open_rig: OpenRig) -> None:
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


def test_a_token_that_is_known_is_nothing_new(open_rig: OpenRig) -> None:
    """An answer that is taken up tells all of its tokens again."""
    rig = open_rig()
    rig.thread.begin(replace(answer(), drawn=(7, 8)))
    for place, token in enumerate((1, 2, 9)):
        rig.thread.drew(KEY, place, token)
    rig.wait_written(7, 8, 9)
    written = rig.written()
    assert written is not None
    assert written.drawn == (7, 8, 9)


def test_an_answer_that_is_taken_up_keeps_its_beginning_and_its_end(open_rig: OpenRig) -> None:
    """It began when it began; and if it had ended, it has."""
    rig = open_rig()
    rig.thread.begin(replace(answer(begun=5.0), drawn=(7,), end=FinishReason.CANCELLED))
    rig.wait_written(7)
    assert rig.written() == replace(answer(begun=5.0), drawn=(7,), end=FinishReason.CANCELLED)


def test_what_is_said_of_no_answer_is_not_heard(open_rig: OpenRig) -> None:
    """Its prompt was too long for the journal, or the disk takes nothing for long."""
    rig = open_rig()
    rig.thread.begin(answer(text="a" * MAX_ANSWER_BYTES))
    rig.thread.drew(KEY, 0, 7)
    rig.thread.ended(KEY, FinishReason.STOP)
    rig.thread.over(KEY)
    assert rig.thread.find(KEY) is None


def test_without_an_interval_tokens_are_written_when_the_answer_is_over(open_rig: OpenRig) -> None:
    """Its beginning is durable at once all the same."""
    rig = open_rig(seconds=0.0)
    rig.thread.begin(answer())
    rig.wait_written()
    for place in range(5):
        rig.thread.drew(KEY, place, place)
    assert rig.thread.unwritten == 1
    rig.thread.over(KEY)
    rig.wait_written(0, 1, 2, 3, 4)


def test_what_a_disk_does_not_take_is_bounded(open_rig: OpenRig, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_stopping_writes_what_is_unwritten(open_rig: OpenRig) -> None:
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


def test_a_session_that_is_forgotten_is_not_written_again(open_rig: OpenRig) -> None:
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


def test_a_start_tells_how_many_answers_can_be_taken_up(open_rig: OpenRig, caplog: pytest.LogCaptureFixture) -> None:
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


def test_what_is_remembered_is_durable_though_tokens_may_wait(open_rig: OpenRig) -> None:
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


def test_what_is_remembered_stays_while_the_answer_is_taken_up(open_rig: OpenRig) -> None:
    """It may still be nowhere else. Another answer has nothing to do with it."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.journal.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    rig.thread.begin(answer())
    rig.thread.said(KEY, TURN)
    rig.thread.begin(answer())
    assert rig.thread.last_turn(KEY) == (answer(), TURN)
    rig.thread.begin(replace(answer(), begun=NOW + 1))
    assert rig.thread.last_turn(KEY) is None
