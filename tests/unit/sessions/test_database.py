"""A database that is made again: nothing of the one before is left, and a closed one stays closed."""

import sqlite3
from pathlib import Path

import pytest

from autoglmd.sessions.database import Database, Schema

SCHEMA = Schema("CREATE TABLE IF NOT EXISTS words (word);", 1)
SECRET = "swordfish" * 2000


def opened(folder: Path, version: int = 1) -> Database:
    """As a program of some version opens it."""
    return Database(folder / "words.sqlite", Schema(SCHEMA.statements, version), "the words")


def say(database: Database, word: str = SECRET) -> None:
    """Write something that nobody else is to read."""
    with database.using() as connection:
        connection.execute("INSERT INTO words VALUES (?)", (word,))


def words(database: Database) -> list[str]:
    """What it holds."""
    with database.using() as connection:
        return [str(row[0]) for row in connection.execute("SELECT word FROM words")]


def is_anywhere(folder: Path) -> bool:
    """Whether the secret can be found in any file."""
    return any(b"swordfish" in path.read_bytes() for path in folder.iterdir())


def test_nothing_is_left_of_a_database_of_another_version(tmp_path: Path) -> None:
    """What was in it would be beyond every delete."""
    first = opened(tmp_path)
    say(first)
    assert is_anywhere(tmp_path)
    first.close()
    assert words(opened(tmp_path, version=2)) == []
    assert not is_anywhere(tmp_path)


def test_nothing_is_left_of_a_broken_database(tmp_path: Path) -> None:
    """Nor of its log."""
    (tmp_path / "words.sqlite").write_bytes(b"swordfish" * 5000)
    again = opened(tmp_path)
    assert words(again) == []
    assert not is_anywhere(tmp_path)
    assert again.times_begun == 1


def test_what_was_deleted_is_overwritten(tmp_path: Path) -> None:
    """SQLite alone would leave it in pages that nobody uses, large texts above all."""
    database = opened(tmp_path)
    say(database)
    say(database, "kept")
    with database.using() as connection:
        connection.execute("DELETE FROM words WHERE word != 'kept'")
    assert words(database) == ["kept"]
    database.close()
    assert not is_anywhere(tmp_path)


def test_a_closed_database_is_touched_by_nobody(tmp_path: Path) -> None:
    """A thread that comes late finds another daemon's: of a newer version, it would remove it."""
    late = opened(tmp_path)
    say(late, "one")
    late.close()
    newer = opened(tmp_path, version=2)
    say(newer, "two")
    with pytest.raises(OSError, match="the words is closed"):
        words(late)
    assert words(newer) == ["two"]


def test_an_error_without_a_code_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the module's own have none, while it is opened as well."""

    class Odd(sqlite3.Connection):
        def execute(self, *_: object) -> sqlite3.Cursor:
            raise sqlite3.ProgrammingError("odd")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: connect(path, factory=Odd, **options))
    with pytest.raises(OSError, match="the words: odd"):
        words(opened(tmp_path))
