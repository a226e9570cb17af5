"""How conversations are found, as one model understands them."""

from collections.abc import Callable
from dataclasses import dataclass

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.preparation import Recalled
from autoglmd.pipeline.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Recall:
    """Called in prefetch threads, and in those that read.

    Attributes:
        in_memory: a conversation that need not be read; `None`: it is not in memory.
        on_disk: wherever it is, an empty one where it is nowhere. May take as long as a disk does.
        unreadable: an empty one, for an answer that is not to wait for the disk any longer.
        sharing: what the model's prompts have in common; `None` where nothing is shared.
    """

    in_memory: Callable[[SessionKey], Recalled | None]
    on_disk: Callable[[SessionKey], Recalled]
    unreadable: Callable[[SessionKey], Recalled]
    sharing: Sharing | None = None
