"""How long a start takes with many sessions on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import assets
from benchmarks.contenders import PER_TOKEN_KV8
from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.process import MeasurementError
from benchmarks.sessions import crowd
from benchmarks.sessions.page_cache import drop
from benchmarks.sessions.turns import talking
from benchmarks.settings import Settings
from benchmarks.spread import Spread
from benchmarks.store import Result, Store
from benchmarks.verdict import at_most_in_every_round

GOAL_SECONDS = 1.0
SESSION_TOKENS = 200
TURN = 8
CHOICE = EngineChoice(rows=1, context_tokens=1024)


@dataclass(frozen=True)
class Sizes:
    """How many sessions, and how many starts of each kind in a round."""

    sessions: int
    starts: int


FULL, QUICK = Sizes(10_000, 3), Sizes(500, 1)


class Start:
    """Starts with one session on disk, and with very many, in turns."""

    name = "start"
    title = "Starting with many sessions on disk"

    def measure(self, settings: Settings, store: Store) -> None:
        """Make two folders a round, and start daemons over them in turns."""
        shape = settings.own_shape
        for number in range(settings.rounds):
            store.need(f"{self.name}/{shape}/{number}", partial(_measure, settings, shape, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        shape = settings.own_shape
        results = list(store.under(f"{self.name}/{shape}").values())
        if not results:
            return []
        note = (
            f"{shape}, {PER_TOKEN_KV8.build}. Seconds from running the daemon to its READY=1 (sd_notify), which "
            "follows the health service's SERVING; and to the first token of the first session that is taken up again "
            f"from disk, by a client that asks at READY. *Few* is that session alone, *many* {results[0]['sessions']} "
            "others beside it, small ones, made through the store. The kernel was told to forget the contents of all "
            "files, though not names and sizes: after a boot a disk has to bring those, too."
        )
        header = ["", "few", "many", f"many - few (limit: {GOAL_SECONDS:.0f} s, judged by the worst round)"]
        rows = [
            _row(title, results, name) for name, title in (("ready", "to READY"), ("answer", "to the first answer"))
        ]
        return [Section(self.title, f"{note}\n\n{table(header, rows)}")]


def _measure(settings: Settings, shape: str, number: int) -> Result:
    print(f"start, {shape}, round {number}", flush=True)
    sizes = QUICK if settings.quick else FULL
    bundle = assets.need(settings, shape, PER_TOKEN_KV8.kind)
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        homes = {name: Home(Path(folder) / name) for name in ("few", "many")}
        crowd.make(homes["many"].folder / "sessions", sizes.sessions)
        vocab = settings.vocab(shape)
        for home in homes.values():
            _start(settings, bundle, home, np.random.default_rng(number).integers(3, vocab, SESSION_TOKENS).tolist())
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in homes}
        for turn in range(sizes.starts):
            for name in ("few", "many") if (number + turn) % 2 == 0 else ("many", "few"):
                drop(homes[name].folder / "sessions")
                times[name].append(_start(settings, bundle, homes[name], list(range(3, 3 + TURN))))
    medians = {
        name: dict(zip(("ready", "answer"), np.median(found, axis=0).tolist(), strict=True))
        for name, found in times.items()
    }
    print(f"  {medians}", flush=True)
    return {"sessions": sizes.sessions, **medians}


def _start(settings: Settings, bundle: Path, home: Home, turn: list[int]) -> tuple[float, float]:
    """Seconds from running a daemon to READY, and to the first token of a turn of its one session."""
    with daemon(settings, bundle, CHOICE, home=home) as running, talking(running.socket) as ask:
        sent = time.perf_counter()
        answer = ask(turn, "returning")
    if answer.prompt_tokens > len(turn) and answer.tier != "disk":
        raise MeasurementError(f"the session came from {answer.tier}, where disk is measured")
    return running.ready - running.started, sent + answer.first - running.started


def _row(title: str, results: Sequence[Result], name: str) -> list[str]:
    few, many = ([result[kind][name] for result in results] for kind in ("few", "many"))
    over = Spread.of([one - other for one, other in zip(many, few, strict=True)])
    verdict = at_most_in_every_round(over, GOAL_SECONDS)
    return [title, *(Spread.of(values).text(2) for values in (few, many)), verdict.text]
