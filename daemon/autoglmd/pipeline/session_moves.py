"""What becomes of whole sessions: forked, rewound, exported, imported. Run apart from the event loop.

Who calls has the leases of the sessions concerned, if any are. What is rewritten is found at once, and saved in the
background as any turn is.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionError, SessionExistsError, SessionNotFoundError
from autoglmd.host.spool import Spool
from autoglmd.messages.sessions import Place, SessionKey
from autoglmd.pipeline.answer import AnswerText
from autoglmd.pipeline.preparation import CONTINUED_TOKENS
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.sessions.conversation import COMPLETION_ROLE, Conversation, ModelMark, TurnMark
from autoglmd.sessions.cut import answer_at, until_place, until_turn
from autoglmd.sessions.export import Reader, exported, imported


@dataclass(frozen=True, slots=True)
class Speaker:
    """A served model, as far as sessions need it to be cut and imported."""

    mark: ModelMark
    rules: PromptRules


Speakers = Mapping[str, Speaker]
"""By the model's name."""


class SessionMoves:
    """Works on conversations of the book."""

    def __init__(self, book: SessionBook, now: Callable[[], float]) -> None:
        """`now` tells seconds since 1970."""
        self._book = book
        self._now = now
        # What a stranger's file takes while it is read is bounded once, and not once for each.
        self._reading = threading.Lock()

    def fork(self, key: SessionKey, new: SessionKey, place: Place | None, speakers: Speakers) -> Conversation:
        """Begin a session with another's beginning, or all of it.

        Raises:
            SessionNotFoundError, SessionExistsError: there is no such session; there is one of the new name.
            InvalidArgumentError: nothing can end at that place.
            SessionError: the disk does not give it.
        """
        told = self.whole(key)
        self.expect_none(new)
        now = self._now()
        forked = replace(cut_at(told, place, speakers), key=new, created=now, last_used=now)
        self._book.rewrite(forked)
        return forked

    def rewind(self, key: SessionKey, place: Place | None, speakers: Speakers) -> Conversation:
        """Take back what lies behind a place, or the last turn. Raises as `fork`."""
        told = self.whole(key)
        if place is None and not told.turns:
            raise InvalidArgumentError("at_turn", "is not set, and the session has no turn that could be taken back.")
        left = cut_at(told, place or Place(turn=told.turns - 1), speakers)
        if left is told:
            return told
        now = self._now()
        # With nothing left it is another one of the same name, of whose file nothing is to stay, whatever comes next.
        created = now if left.is_empty else left.created
        rewound = replace(left, created=created, last_used=max(told.last_used, now))
        self._book.rewrite(rewound)
        return rewound

    def whole(self, key: SessionKey) -> Conversation:
        """A session with its keys and values. Raises SessionNotFoundError, and SessionError where a disk refuses."""
        told = self._book.whole(key)
        if told is None:
            raise SessionNotFoundError(key.session_id)
        return told

    def export(self, told: Conversation, spool: Spool) -> None:
        """Write a whole conversation to a spool. Raises SessionError where a disk refuses."""
        try:
            spool.append(exported(told))
        except OSError as error:
            raise SessionError(
                f"Session {told.key.session_id!r} cannot be exported: under the daemon's state_dir, {error}."
            ) from error

    def read(self, key: SessionKey, spool: Spool, speakers: Speakers) -> Conversation:
        """What was sent to a spool, as that session.

        Raises:
            InvalidArgumentError: it is not a whole session's file.
            SessionError: the disk does not give it.
            SessionNewerError: a newer autoglmd wrote it.
        """
        readers = {name: Reader(each.mark, each.rules.context_tokens) for name, each in speakers.items()}
        try:
            with self._reading:
                return imported(spool.as_file("The file"), key, readers, self._now())
        except OSError as error:
            raise SessionError(f"Session {key.session_id!r} cannot be imported: {error}.") from error

    def keep(self, conversation: Conversation) -> None:
        """Begin a session with what was imported. Raises SessionExistsError; SessionError as `fork`."""
        self.expect_none(conversation.key)
        self._book.rewrite(conversation)

    def expect_none(self, key: SessionKey) -> None:
        """Raises SessionExistsError if there is one, or a first answer to be; SessionError where no disk tells."""
        if self._book.describe(key) is not None or self._book.last_answers.unfinished(key) is not None:
            raise SessionExistsError(key.session_id)


def cut_at(told: Conversation, place: Place | None, speakers: Speakers) -> Conversation:
    """What lies before a place; all of it without one. Raises InvalidArgumentError."""
    if place is None:
        return told
    if place.token is None:
        return until_turn(told, place.turn or 0)
    inside = answer_at(told, place.token)
    return until_place(told, place.token, "" if inside is None else _answer(told, inside, place.token, speakers))


def _answer(told: Conversation, turn: TurnMark, place: int, speakers: Speakers) -> str:
    """The text of a turn's answer up to a place inside it."""
    speaker = speakers.get(told.model.name)
    if speaker is None or speaker.mark.tokenizer != told.model.tokenizer:
        raise InvalidArgumentError(
            "at_token",
            f"{place} is inside an answer of {told.model.name!r}, and that model, as it was then, is not served here. "
            f"Only it can tell the text up to there; take the turn's end, {turn.end}.",
        )
    whole = told.messages[turn.messages - 1]
    before = told.ids[max(0, turn.answer_start - CONTINUED_TOKENS) : turn.answer_start]
    said = AnswerText(speaker.rules.tokenizer, (), before if whole.role == COMPLETION_ROLE else ())
    shown = [said.push(token, None) for token in told.ids[turn.answer_start : place]]
    text = "".join(each.text for each in shown if each is not None)
    if said.is_open or not whole.content.startswith(text):
        raise InvalidArgumentError(
            "at_token", f"{place} is inside a character of an answer. Take the place of one of its other tokens."
        )
    return text
