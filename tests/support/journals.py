"""Journals of answers for tests, and what is added to them."""

import sqlite3
from pathlib import Path

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.journal import Addition, Journal
from tests.support.answers import answer
from tests.support.conversations import empty, turn_after
from tests.support.seals import PLAIN

FILE = "abc.session"


OTHER = SessionKey("local", "other")


TURN, _ = turn_after(empty(), "你好")


def opened(folder: Path) -> Journal:
    """As a daemon that starts."""
    return Journal(folder / "journal.sqlite", PLAIN)


def begun(each: Answer | None = None, file: str = FILE) -> Addition:
    """An answer that begins."""
    return Addition(file, each or answer(), 0, ())


def drawn(start: int, *ids: int, file: str = FILE) -> Addition:
    """Some of its tokens."""
    return Addition(file, None, start, ids)


def changed(folder: Path, statement: str, *values: object) -> None:
    """Change the database behind the journal's back."""
    with sqlite3.connect(folder / "journal.sqlite") as database:
        database.execute(statement, values)
    database.close()
