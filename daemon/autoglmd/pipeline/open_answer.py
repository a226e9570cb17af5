"""An answer between the engine and the journal: what came of it, and what of that is written."""

from dataclasses import dataclass

from autoglmd.messages.generation import FinishReason
from autoglmd.sessions.answer import Answer
from autoglmd.sessions.conversation import Turn
from autoglmd.sessions.journal import Addition


@dataclass(slots=True, eq=False)
class OpenAnswer:
    """An answer that is given, or not yet written to its end. Guarded by the thread's lock.

    Attributes:
        answer: as it began.
        drawn: its tokens so far, of which `written` are in the journal.
        ended: how and when; `None` before its reader was told.
        is_new: whether the journal does not have its beginning.
        is_over: whether nothing more comes, ended or not.
        turn: what the session was made to remember of it; `None`: nothing yet.
    """

    answer: Answer
    drawn: list[int]
    ended: tuple[FinishReason, float] | None = None
    written: int = 0
    ended_written: bool = False
    is_new: bool = True
    is_over: bool = False
    turn: Turn | None = None
    written_turn: Turn | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the journal lacks its last tokens, its end, or its turn."""
        has_unwritten_end = self.ended is not None and not self.ended_written
        return len(self.drawn) > self.written or has_unwritten_end or self.turn is not self.written_turn

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return self.answer.size + 8 * len(self.drawn)

    @property
    def addition(self) -> Addition:
        """What the journal lacks of it; under which name is for the caller to say."""
        return Addition(
            file="",
            begun=self.answer if self.is_new else None,
            start=self.written,
            ids=tuple(self.drawn[self.written :]),
            end=None if self.ended_written else self.ended,
            turn=None if self.turn is self.written_turn else self.turn,
        )

    def has_written(self, addition: Addition) -> None:
        """The journal has this of it."""
        self.is_new = False
        self.written = addition.start + len(addition.ids)
        self.ended_written = self.ended_written or self.ended == addition.end
        self.written_turn = addition.turn or self.written_turn
