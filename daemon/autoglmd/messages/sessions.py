"""What is kept of conversations, and where."""

import secrets
from dataclasses import dataclass, field, replace
from enum import Enum


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Whose conversation, and what its owner calls it."""

    tenant: str
    session_id: str


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner sees it. Times in seconds since 1970; see `proto/openglm/v1/sessions.proto`.

    Attributes:
        unfinished: whether its last answer broke off and can be taken up. Not told where many are listed.
    """

    session_id: str
    model: str
    created: float
    last_used: float
    expires: float
    turns: int
    tokens: int
    disk_bytes: int
    cached_tokens: int = 0
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session is to be cut: behind so many tokens, or so many turns. One of the two is set."""

    token: int | None = None
    turn: int | None = None


class CacheTier(Enum):
    """Where keys and values of a conversation were found, as it was when the request was prepared."""

    ROW = "row"
    MEMORY = "memory"
    DISK = "disk"


class CacheMiss(Enum):
    """Why fewer of a conversation's tokens were cached than it has."""

    NEW_SESSION = "new session"
    EXPIRED = "expired"
    EVICTED = "evicted"
    MODEL_CHANGED = "model changed"
    DAMAGED = "damaged"
    HISTORY_CHANGED = "history changed"
    UNREADABLE = "unreadable"
    NOT_KEPT = "not kept"
    CONTEXT_MOVED = "context moved"


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What a conversation brought along. `tier` is `None` where nothing was cached, `miss` where nothing was lost."""

    cached_tokens: int = 0
    tier: CacheTier | None = None
    miss: CacheMiss | None = None


PAGE_TOKENS = 64
"""Positions of a page: a block of a prompt's keys and values that other prompts may begin with as well."""


@dataclass(frozen=True, slots=True)
class KvBlock:
    """Keys and values of neighbouring positions of one sequence, as the model stores them.

    Attributes:
        start: the first position.
        tokens: positions that hold good, from the first on.
        held: positions in `data`, at least `tokens`.
        data: tensor by tensor, each [kv_heads, held, width].
        stamp: which computing they come from; two blocks with the same `start`, `held` and `stamp` have the same data.
            0: nobody knows.
    """

    start: int
    tokens: int
    held: int
    data: bytes | memoryview
    stamp: int = field(default=0, compare=False)

    @property
    def stop(self) -> int:
        """The position behind the last that holds good."""
        return self.start + self.tokens

    def until(self, stop: int) -> "KvBlock":
        """The same, holding good before `stop` alone."""
        return self if stop >= self.stop else replace(self, tokens=max(0, stop - self.start))

    def is_in(self, other: "KvBlock") -> bool:
        """Whether all that holds good here does in the other one, with the same data."""
        same = (self.start, self.held, self.stamp) == (other.start, other.held, other.stamp)
        return same and self.tokens <= other.tokens


def new_stamp() -> int:
    """A stamp that no other computing has, of this daemon or any other."""
    return secrets.randbits(62) + 1
