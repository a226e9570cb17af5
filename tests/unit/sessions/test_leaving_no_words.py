"""What is deleted is gone from the folder, from what SQLite keeps beside its databases as well."""

from dataclasses import replace
from pathlib import Path

from autoglmd.sessions.journal import Addition
from tests.support.answers import answer
from tests.support.conversations import KEY, empty
from tests.support.journals import TURN
from tests.support.session_stores import open_store, save_turn

WORDS = "a fluorescent aquarium"


def folder_says(folder: Path, words: str) -> bool:
    """Whether they can be read in any file."""
    return any(words.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_word_of_a_deleted_session_can_be_read_in_a_log_of_changes(tmp_path: Path) -> None:
    """Neither its last answer's prompt, nor the turn that was told, nor its name."""
    store = open_store(tmp_path)
    key = replace(KEY, session_id="a name of its own")
    save_turn(store, empty(key), WORDS)
    told = replace(TURN, messages=(replace(TURN.messages[0], content=WORDS),))
    store.journal.add([Addition(store.file_of(key), answer(key, text=WORDS), 0, (1,), turn=told)])
    assert store.delete(key)
    assert not folder_says(tmp_path, WORDS)
    assert not folder_says(tmp_path, key.session_id)
