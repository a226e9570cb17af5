"""The frozen values that the daemon answers with about conversations."""

from dataclasses import dataclass
from datetime import datetime

from openglm._mirror import Mirror


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `role` is "system", "user", "assistant", or another that the model's template knows."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Turn(Mirror):
    """Where one question with its answer lies in a session.

    Attributes:
        number: 1 for the first.
        answer_start: the place of the answer's first token.
        end: the place behind its last.
        messages: how many there are up to its end.
    """

    number: int
    answer_start: int
    end: int
    messages: int


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A conversation that the daemon keeps. Times are aware, in UTC.

    Of its `tokens`, `cached_tokens` need not be computed again. `unfinished`, which `session` alone tells: its last
    answer broke off, and `resume` takes it up.
    """

    session_id: str
    model: str
    created: datetime
    last_used: datetime
    expires: datetime
    turns: int
    tokens: int
    disk_bytes: int
    cached_tokens: int
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation and what was said in it; at its turns' ends it may be forked and rewound."""

    info: SessionInfo
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionsStatus(Mirror):
    """What the daemon keeps of conversations, and how that went since it started. As in the contract, by name."""

    sessions: int
    disk_bytes: int
    memory_sessions: int
    memory_bytes: int
    unsaved_sessions: int
    unsaved_seconds: float
    saves: int
    failed_saves: int
    expired: int
    evicted: int
    from_rows: int
    from_memory: int
    from_disk: int
    misses: int
    cached_tokens: int
    resumed: int
    journal_seconds: float
