"""The daemon with its pipeline's work and its engine's steps one after the other; the product has no such setting.

    python -m benchmarks.sessions.serial_daemon serve --config FILE

What the pipeline does beside the engine waits here for its turn: recalling a conversation and tokenizing, reading and
decompressing it, compressing and saving it. The engine thread gives turns between two steps and stands still until they
are over. And it waits for the event loop to have detokenized each step's tokens and handed them to gRPC. So it loses as
much time as if it did all of that itself; the code is the daemon's own. A file tells in the end how long each kind of
work took.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 5.0
"""Whoever waits longer goes on: an event loop that stops does not answer, and a daemon must be able to end."""
DONE = "serial.json"
"""The file in the daemon's state_dir that tells the seconds in the end."""


class Turns:
    """Gives turns to whoever asks for one, in order. Who has a turn may ask again, and has it."""

    def __init__(self) -> None:
        """Begin with nobody waiting, and no engine thread that could give turns."""
        self.seconds: dict[str, float] = {}
        """By kind of work; the engine thread alone adds to it."""
        self._waiting: deque[tuple[str, threading.Event, threading.Event]] = deque()
        self._wake: Callable[[], None] | None = None
        self._mine = threading.local()

    def begin(self, wake: Callable[[], None]) -> None:
        """From now on `give` is called, soon after `wake`."""
        self._wake = wake

    def end(self) -> None:
        """From now on nobody waits, and nobody does who waited."""
        self._wake = None
        for _, given, _ in list(self._waiting):
            given.set()

    @contextlib.contextmanager
    def turn(self, kind: str) -> Iterator[None]:
        """Wait for a turn, and have it while the block runs."""
        if self._wake is None or getattr(self._mine, "has", False):
            yield
            return
        given, over = threading.Event(), threading.Event()
        self._waiting.append((kind, given, over))
        self._wake()
        given.wait(LONGEST_SECONDS)
        self._mine.has = True
        try:
            yield
        finally:
            self._mine.has = False
            over.set()

    def give(self) -> None:
        """In the engine thread: let everybody who waits have a turn, one after the other."""
        while self._waiting:
            kind, given, over = self._waiting.popleft()
            given.set()
            self.timed(kind, over)

    def timed(self, kind: str, over: threading.Event) -> None:
        """In the engine thread: stand still until it is over."""
        start = time.perf_counter()
        over.wait(LONGEST_SECONDS)
        self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - start

    def one_at_a_time(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, when it has a turn."""

        @functools.wraps(work)
        def waiting(*arguments: Any, **named: Any) -> Any:
            with self.turn(kind):
                return work(*arguments, **named)

        return waiting


def serial_engine(turns: Turns) -> type:
    """Return the daemon's engine, which gives turns before each step."""
    from autoglmd.engine.engine import Engine

    class SerialEngine(Engine):
        """Stands still while others work."""

        def start(self) -> None:
            """See Engine.start."""
            super().start()
            turns.begin(self.ping)

        def stop(self, timeout_seconds: float) -> bool:
            """See Engine.stop. What is to be saved afterwards needs no turn."""
            turns.end()
            return super().stop(timeout_seconds)

        def _turn(self) -> None:
            turns.give()
            super()._turn()

    return SerialEngine


def serial_router(turns: Turns) -> type:
    """Return the daemon's router, which comes back when the streams have heard what it delivered."""
    from autoglmd.pipeline.router import Router

    class SerialRouter(Router):
        """Whoever delivers waits."""

        def deliver(self, events: Any) -> None:
            """See Router.deliver."""
            heard = threading.Event()
            super().deliver(events)
            # The loop's next turn puts the events before their streams, and the one after it runs those streams.
            self.call(lambda: self.call(heard.set))
            turns.timed("send", heard)

    return SerialRouter


def wire(turns: Turns) -> None:
    """Put the serial parts in the place of the daemon's."""
    from autoglmd.host.amx import amx_withheld

    with amx_withheld():
        from autoglmd import app
        from autoglmd.pipeline import loading
    from autoglmd.pipeline.making import Maker
    from autoglmd.sessions.store import SessionStore

    kinds = {"prepare": ((Maker, "at_once"), (SessionStore, "load")), "save": ((SessionStore, "save"),)}
    for kind, works in kinds.items():
        for owner, name in works:
            setattr(owner, name, turns.one_at_a_time(kind, getattr(owner, name)))
    for user, name, part in ((loading, "Engine", serial_engine(turns)), (app, "Router", serial_router(turns))):
        setattr(user, name, part)


def main() -> None:
    """Be the daemon, serially."""
    from autoglmd import __main__ as command
    from autoglmd.config.reading import load_config

    turns = Turns()
    folder = load_config(Path(sys.argv[sys.argv.index("--config") + 1])).state_dir
    wire(turns)
    status = command.main()
    (folder / DONE).write_text(json.dumps(turns.seconds), encoding="utf-8")
    sys.exit(status)


if __name__ == "__main__":
    main()
