"""What keeps answers from the journal: a disk, a defect, an answer that is no text. The others go on."""

import errno
import logging
import os
import threading

import pytest

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline import journalling
from autoglmd.pipeline.open_answer import OpenAnswer
from autoglmd.sessions.journal import Addition
from tests.support.answers import answer
from tests.support.conversations import KEY
from tests.support.journal_rig import LIMIT_SECONDS, NEVER_SECONDS, OTHER, OpenRig


def test_a_journal_that_refuses_is_said_once_and_tried_again(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_a_defect_of_ours_does_not_end_the_thread(open_rig: OpenRig) -> None:
    """As a journal that refuses."""
    rig = open_rig()
    rig.journal.fault = ZeroDivisionError()
    rig.thread.begin(answer())
    rig.journal.wait_for(lambda: len(rig.journal.commits) > 1)
    rig.journal.fault = None
    rig.wait_written()
    assert rig.thread.is_whole


def test_an_answer_that_cannot_be_written_keeps_no_other_from_the_journal(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
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
    assert [record.message for record in caplog.records] == ["answers cannot be journalled, and not be taken up"]


def test_a_box_without_memory_for_a_batch_journals_it_later(open_rig: OpenRig, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_stopping_says_what_is_lost(open_rig: OpenRig) -> None:
    """A disk that refuses at the end is tried once more, and not waited for."""
    rig = open_rig(seconds=NEVER_SECONDS)
    rig.thread.begin(answer())
    rig.wait_written()
    rig.journal.fault = OSError(errno.EIO, "broken")
    rig.thread.drew(KEY, 0, 7)
    assert not rig.thread.stop(LIMIT_SECONDS)
    assert not rig.thread.is_whole


def test_who_forgets_a_session_waits_for_no_other_ones_commits(open_rig: OpenRig) -> None:
    """A busy journal is always at work for somebody."""
    rig = open_rig()
    rig.journal.gate.clear()
    rig.thread.begin(answer(OTHER))
    assert rig.journal.reached.wait(LIMIT_SECONDS)
    assert rig.thread.known(OTHER) is not None
    with rig.thread._changed:
        assert KEY not in rig.thread._at_work
    forgetting = threading.Thread(target=rig.thread.forget, args=(KEY,), daemon=True)
    forgetting.start()
    forgetting.join(LIMIT_SECONDS)
    assert not forgetting.is_alive()
    rig.journal.gate.set()


def test_an_answer_that_cannot_be_written_alone_refuses_the_journal_to_nobody(
    open_rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    """Else those that begin in the next seconds would be lost with a kill."""
    rig = open_rig(retry_seconds=NEVER_SECONDS)
    with caplog.at_level(logging.ERROR, journalling.__name__):
        rig.thread.begin(answer(OTHER, text="\ud83d"))
        rig.wait_let_go(OTHER)
        rig.thread.begin(answer())
        rig.wait_written()
    assert len(caplog.records) == 1
