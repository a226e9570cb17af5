"""Decode throughput while conversations are saved and loaded."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import assets
from benchmarks.contenders import PER_TOKEN_KV8
from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.engines.base import prompts
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.sessions import stirring_daemon, windows
from benchmarks.sessions.stirring_daemon import DONE, PER_SECOND, SWITCH
from benchmarks.sessions.turns import ask
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store
from benchmarks.verdict import at_least
from openglm import AsyncClient

STREAMS = 8
GUEST_TOKENS = 8
STREAM_TOKENS = 2000
GOAL = 0.97
ALONE, STIRRED, FRESH, RETURNING = "alone", "stirred", "fresh", "returning"
PAIRS = {"files": (STIRRED, ALONE), "requests": (RETURNING, FRESH)}


@dataclass(frozen=True)
class Sizes:
    """Tokens of a session, how many there are, the seconds of one turn, and how often each comes."""

    tokens: int
    sessions: int
    seconds: float
    repeats: int


FULL, QUICK = Sizes(1000, 8, 5.0, 4), Sizes(200, 4, 2.0, 2)


class BesideStreams:
    """Eight streams, with and without 4 saves and 4 loads a second beside them, by turns in one daemon."""

    name = "beside"
    title = "Saving and loading beside running streams"

    def measure(self, settings: Settings, store: Store) -> None:
        """Two ways of saving and loading: files alone, and whole requests."""
        shapes = dict.fromkeys((settings.own_shape, settings.session_shape))
        for shape in shapes:
            for number in range(settings.rounds):
                for way in PAIRS:
                    key = f"{self.name}/{shape}/{way}/{number}"
                    store.need(key, partial(_measure, settings, shape, way, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            _row(shape, way, results)
            for shape in dict.fromkeys((settings.own_shape, settings.session_shape))
            for way in PAIRS
            if (results := list(store.under(f"{self.name}/{shape}/{way}").values()))
        ]
        if not rows:
            return []
        header = ["", "without", "with", f"with / without (goal: at least {GOAL}, judged by all rounds)"]
        return [Section(self.title, f"{_NOTE}\n\n{table(header, rows)}")]


_NOTE = (
    f"Tokens per second of {STREAMS} streams ({PER_TOKEN_KV8.build}), by turns of a few seconds in one daemon, while "
    f"{PER_SECOND} sessions are saved and {PER_SECOND} loaded each second. Their sessions' tokens are told in the "
    "first column. *Files*: a thread in the daemon's process has the store load sessions from disk, as the prefetch "
    "thread does, and the write-back thread save whole ones under new names; the engine knows nothing of it, and "
    "without it nothing goes on. *Requests*: clients take up sessions with a row beside the streams' (8 new tokens, "
    "one drawn), so that the engine also copies keys and values into its rows and out; each is loaded from disk and "
    "its turn saved. As that computes a step, *without* has as many requests as large that belong to no session. What "
    "is left between the two is loading, copying, saving, and attention to a session's tokens. All reads are of the "
    "kernel's page cache."
)


def _measure(settings: Settings, shape: str, way: str, number: int) -> Result:
    print(f"beside, {shape}, round {number}: {way}", flush=True)
    sizes = QUICK if settings.quick else FULL
    module = stirring_daemon.__name__ if way == "files" else "autoglmd"
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        home = Home(Path(folder), memory_bytes=0, module=module)
        choice = EngineChoice(rows=STREAMS + 1, context_tokens=2048)
        bundle = assets.need(settings, shape, PER_TOKEN_KV8.kind)
        with daemon(settings, bundle, choice, home=home) as running:
            load = _Load(running.socket, home.folder, sizes, np.random.default_rng(number), settings.vocab(shape))
            found, facts = asyncio.run(load.run(way)), running.facts()
        told = json.loads((home.folder / DONE).read_text()) if way == "files" else {"tiers": dict(load.tiers)}
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    print(f"  {medians} {told} of {found}", flush=True)
    return {"tokens": sizes.tokens, "rates": medians, "told": told, "facts": facts}


class _Load:
    """One daemon's streams and sessions."""

    def __init__(self, socket: str, folder: Path, sizes: Sizes, random: np.random.Generator, vocab: int) -> None:
        self.tiers: Counter[str] = Counter()
        self._socket = socket
        self._switch = folder / SWITCH
        self._sizes = sizes
        self._random = random
        self._vocab = vocab

    async def run(self, way: str) -> dict[str, list[float]]:
        """Make the sessions, then let the streams decode through all turns; return their rates."""
        async with AsyncClient(self._socket) as client:
            for number, prompt in enumerate(self._ids(self._sizes.sessions, self._sizes.tokens)):
                await ask(client, prompt, f"session {number}")
            beside = {
                ALONE: windows.nothing,
                STIRRED: self._stirred,
                FRESH: lambda: windows.every(1 / PER_SECOND, lambda _: self._guest(client, "")),
                RETURNING: lambda: windows.every(1 / PER_SECOND, lambda turn: self._guest(client, self._name(turn))),
            }
            names = windows.balanced(PAIRS[way][::-1], self._sizes.repeats)
            turns = [(name, beside[name]) for name in names]
            streams = self._ids(STREAMS, 32)
            return await windows.rates(client, streams, STREAM_TOKENS, turns, self._sizes.seconds)

    async def _stirred(self) -> None:
        self._switch.touch()
        try:
            await windows.nothing()
        finally:
            self._switch.unlink()

    async def _guest(self, client: AsyncClient, session: str) -> None:
        answer = await ask(client, self._ids(1, GUEST_TOKENS)[0], session)
        if session:
            self.tiers[answer.tier] += 1

    def _name(self, turn: int) -> str:
        return f"session {turn % self._sizes.sessions}"

    def _ids(self, count: int, tokens: int) -> list[list[int]]:
        return prompts(self._random, self._vocab, count, tokens)


def _row(shape: str, way: str, results: Sequence[Result]) -> list[str]:
    disturbed, base = ([result["rates"][name] for result in results] for name in PAIRS[way])
    title = f"{shape}, {way}, {results[0]['tokens']} tokens{_elsewhere(results)}"
    verdict = at_least(paired_ratio(disturbed, base), GOAL, digits=3)
    return [title, *(Spread.of(rates).text() for rates in (base, disturbed)), verdict.text]


def _elsewhere(results: Sequence[Result]) -> str:
    """What share of the sessions did not come from disk, if any did."""
    tiers: Counter[str] = sum((Counter(result["told"].get("tiers", {})) for result in results), Counter())
    share = 1 - tiers["disk"] / tiers.total() if tiers else 0.0
    return f", {share:.0%} of them not from disk" if share else ""
