"""The turn that a session's file lacks: it was told, and only the journal of answers has it."""

import logging
from pathlib import Path

from autoglmd.errors.session import SessionError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.additions import whole
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.contents import JOURNAL, path_in
from autoglmd.sessions.conversation import Conversation, Turn
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.record import RecordWriter
from autoglmd.sessions.seal import Seal

log = logging.getLogger(__name__)


def save_last_turns(folder: Path, seal: Seal, disk: Disk) -> None:
    """Write what only the journal has into the sessions' files, while no daemon has the folder. Raises OSError."""
    if not (folder / JOURNAL).exists():
        return
    journal = Journal(folder / JOURNAL, seal)
    try:
        for answer, turn in journal.last_turns():
            _save(path_in(folder, seal.name(answer.key)), answer, turn, seal, disk)
    finally:
        journal.close()


def _save(path: Path, answer: Answer, turn: Turn, seal: Seal, disk: Disk) -> None:
    try:
        found = session_log.read(disk, path, answer.key, answer.model, seal)
    except SessionError as error:
        log.warning("%s", error.message)
        return
    if found is None and path.exists():
        # Of a file that says nothing nobody knows what the turn went on from.
        return
    made = with_turn(answer.key, None if found is None else found.conversation, answer, turn)
    if made is not None:
        disk.write(path, whole(made, RecordWriter(seal, path.stem)).pieces)


def with_turn(key: SessionKey, told: Conversation | None, answer: Answer, turn: Turn) -> Conversation | None:
    """A conversation with the turn that it lacks; `None`: it has it, or is not what that turn went on from."""
    before = told or Conversation(key, answer.model, answer.begun, answer.begun)
    if told is not None and told.turns == turn.number and told.last_used >= turn.at:
        return None
    before = before.of(answer.model)
    # What a reader who left had of the very same turn may have been saved; it is replaced.
    is_next = turn.number == answer.turn and before.turns in (turn.number - 1, turn.number)
    is_here = turn.start == answer.shared <= len(before.ids) and turn.first_message <= len(before.messages)
    if not (is_next and is_here):
        return None
    prompt = (*before.ids[: answer.shared], *answer.prompt_ids)
    if digest_of(prompt) != answer.prompt_digest:
        return None
    whole = before.after(turn)
    # Told again it is the same, and nothing was written.
    return None if told is not None and (whole.ids, whole.messages) == (told.ids, told.messages) else whole
