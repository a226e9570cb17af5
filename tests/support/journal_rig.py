"""A journal thread over a journal that obeys the test."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.journalling import Journalling, Places
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.journal import Addition, Journal
from tests.support.conversations import KEY, NOW, empty, turn_after
from tests.support.seals import PLAIN

LIMIT_SECONDS = 10.0


NEVER_SECONDS = 1000.0


OTHER = SessionKey("local", "other")


TURN, _ = turn_after(empty(), "x")


class GatedJournal(Journal):
    """Commits when it is let, and fails as long as it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, PLAIN)
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.fault: Exception | None = None
        self.commits: list[list[Addition]] = []
        self._told = threading.Condition()

    def add(self, additions: Iterable[Addition]) -> None:
        """Add, at a time of the test's choice."""
        told = list(additions)
        self.reached.set()
        assert self.gate.wait(LIMIT_SECONDS)
        if self.fault is None:
            super().add(told)
        with self._told:
            self.commits.append(told)
            self._told.notify_all()
        if self.fault is not None:
            raise self.fault

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Until a commit has made something so."""
        with self._told:
            assert self._told.wait_for(holds, LIMIT_SECONDS)


class Rig:
    """A thread over a journal that obeys the test."""

    def __init__(self, folder: Path, seconds: float = 0.005, retry_seconds: float = 0.005) -> None:
        self.journal = GatedJournal(folder / "journal.sqlite")
        self.thread = Journalling(Places(lambda: self.journal, name_of, lambda: NOW), seconds, retry_seconds)
        self.thread.start()

    def written(self, key: SessionKey = KEY) -> Answer | None:
        """What a crash would leave."""
        return self.journal.find(name_of(key), key)

    def wait_let_go(self, key: SessionKey) -> None:
        """Until the thread knows of an answer by the journal alone."""
        with self.thread._changed:
            assert self.thread._changed.wait_for(lambda: self.thread.known(key) is None, LIMIT_SECONDS)

    def wait_written(self, *ids: int, key: SessionKey = KEY) -> None:
        """Until these tokens are durable."""

        def there() -> bool:
            found = self.written(key)
            return found is not None and found.drawn == ids

        self.journal.wait_for(there)


def name_of(key: SessionKey) -> str:
    """Its session's file."""
    return f"{key.session_id}.session"


OpenRig = Callable[..., Rig]
"""Opens a rig over a test's folder; see `tests/unit/pipeline/conftest.py`."""
