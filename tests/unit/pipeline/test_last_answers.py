"""Last answers of sessions that are changed or removed."""

from dataclasses import replace

import pytest

from autoglmd.errors.session import SessionError
from autoglmd.messages.generation import FinishReason
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.last_answers import LastAnswers
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.database import DiskFullError
from tests.support.answers import answer
from tests.support.conversations import KEY


class Journal:
    """Forgets, unless it is told to raise."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.told = {KEY}
        self.answer: Answer | None = None

    def forget(self, key: SessionKey) -> None:
        """Forget, or raise."""
        if self.error is not None:
            raise self.error
        self.told.discard(key)

    def find(self, key: SessionKey) -> Answer | None:
        """What is there, or raise."""
        if self.error is not None:
            raise self.error
        return self.answer

    def last(self) -> LastAnswers:
        """What is tested, over this."""
        return LastAnswers(self, self.told.__contains__)


def test_a_turn_is_taken_from_the_journal_until_it_is_forgotten() -> None:
    """And no more by whoever had read it before."""
    journal = Journal()
    last, taken = journal.last(), list[str]()
    last.take(KEY, lambda: taken.append("before"))
    last.forget(KEY)
    last.take(KEY, lambda: taken.append("behind"))
    assert taken == ["before"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), DiskFullError("the disk is full")])
def test_a_journal_that_refuses_keeps_a_session_from_being_changed(error: Exception) -> None:
    """Its answer could be taken up behind what it is no answer to; what would help is said."""
    with pytest.raises(SessionError, match=r"'home' cannot be changed: .*Make room"):
        Journal(error).last().forget(KEY)


def test_a_full_disk_keeps_no_session_from_being_removed() -> None:
    """Its file makes room; any other refusal is one."""
    Journal(DiskFullError("the disk is full")).last().forget_before_removal(KEY)
    with pytest.raises(SessionError, match="cannot be changed"):
        Journal(OSError(5, "Input/output error")).last().forget_before_removal(KEY)


def test_an_answer_is_unfinished_until_its_reader_was_told_its_end() -> None:
    """Whatever the end; a journal that refuses keeps nobody from being shown the rest."""
    journal = Journal()
    assert journal.last().unfinished(KEY) is None
    journal.answer = answer()
    assert journal.last().unfinished(KEY) == answer()
    for end in (FinishReason.STOP, FinishReason.CANCELLED):
        journal.answer = replace(answer(), end=end)
        assert journal.last().unfinished(KEY) is None
    journal.error = OSError(5, "Input/output error")
    assert journal.last().unfinished(KEY) is None
