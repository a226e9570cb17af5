"""The daemon with conversations being saved and loaded beside its engine, which does not know of them.

    python -m benchmarks.sessions.stirring_daemon serve --config FILE

While the file `stir` lies in its state_dir, a thread has 4 conversations a second saved and loads 4 a second from disk.
They are sessions that clients had before. Loading is what a prefetch thread does: read, check, decompress. Saving goes
through the daemon's own write-back thread, each conversation whole under a new name: compress, write, sync twice, tell
the catalog. The one before it under that name is removed, and memory keeps none of them.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.log import Found

PER_SECOND = 4
NAMES = 8
LOOK_SECONDS = 0.05
SWITCH = "stir"
DONE = "stirred.json"
"""The file that tells in the end how many were saved and loaded, and how long the loads took."""


class StirringBook(SessionBook):
    """Notes who has sessions, and stirs them."""

    folder = Path()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take the daemon's arguments."""
        super().__init__(*arguments, **named)
        self._known: dict[SessionKey, ModelMark] = {}
        self._done = {"saved": 0, "loaded": 0, "load_seconds": 0.0}
        self._ending = threading.Event()
        self._stirring = threading.Thread(target=self._stir, name="stirring", daemon=True)

    def start(self) -> None:
        """Start the write-back thread and ours."""
        super().start()
        self._stirring.start()

    def commit(self, conversation: Conversation) -> None:
        """See SessionBook.commit."""
        super().commit(conversation)
        self._known[conversation.key] = conversation.model

    def stop(self, timeout_seconds: float) -> bool:
        """End our thread first."""
        self._ending.set()
        self._stirring.join(timeout_seconds)
        (self.folder / DONE).write_text(json.dumps(self._done), encoding="utf-8")
        return super().stop(timeout_seconds)

    def _stir(self) -> None:
        turns = itertools.count()
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            if not (self.folder / SWITCH).exists():
                due = time.monotonic() + LOOK_SECONDS
                continue
            self._once(next(turns))
            due += 1 / PER_SECOND

    def _once(self, turn: int) -> None:
        known = list(self._known.items())
        key, model = known[turn % len(known)]
        start = time.perf_counter()
        found = self._store.load(key, model)
        self._done["load_seconds"] += time.perf_counter() - start
        if isinstance(found, Found):
            self._done["loaded"] += 1
            name = SessionKey(key.tenant, f"stirred {turn % NAMES}")
            self.delete(name)
            self._write_back.put(replace(found.conversation, key=name))
            self._done["saved"] += 1


def main() -> None:
    """Be the daemon."""
    from autoglmd import __main__ as command
    from autoglmd.config.reading import load_config
    from autoglmd.host.amx import amx_withheld

    with amx_withheld():
        from autoglmd.pipeline import session_book

    StirringBook.folder = load_config(Path(sys.argv[sys.argv.index("--config") + 1])).state_dir
    # For `open_sessions`, which makes the daemon's; to mypy a class is no variable.
    session_book.SessionBook = StirringBook  # type: ignore[misc]
    sys.exit(command.main())


if __name__ == "__main__":
    main()
