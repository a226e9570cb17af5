"""A conversation on its way to the disk, and how many may wait."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.conversation import Conversation

_MOST_WAITING = 4096
_LEAST_TEXT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that is to be saved, not before a monotonic time.

    Attributes:
        kv_bytes: of its keys and values, counted once.
        text_bytes: likewise of the rest.
        since: when something of it was unsaved first, on the same clock.
        waits: the seconds between two tries.
        is_new: whether nothing of it is on disk, as far as anybody knows.
    """

    conversation: Conversation
    kv_bytes: int
    text_bytes: int
    since: float
    is_new: bool
    not_before: float = 0.0
    waits: float = 0.0

    def in_place_of(self, earlier: "Waiting | None") -> "Waiting":
        """A newer state in an earlier one's place: it waits for as long, and is as new."""
        if earlier is None:
            return self
        since, is_new = earlier.since, earlier.is_new
        return replace(self, since=since, is_new=is_new, not_before=earlier.not_before, waits=earlier.waits)


def surplus(
    waiting: Mapping[SessionKey, Waiting], text_bytes: int, keep: Collection[SessionKey | None]
) -> list[SessionKey]:
    """Who must go because too many wait, or too much text: the longest waiting first, and none that is to be kept."""
    held, gone = sum(each.text_bytes for each in waiting.values()), list[SessionKey]()
    for key, each in waiting.items():
        if len(waiting) - len(gone) <= _MOST_WAITING and held <= max(text_bytes, _LEAST_TEXT_BYTES):
            break
        if key not in keep:
            held -= each.text_bytes
            gone.append(key)
    return gone
