"""Requests per second of returning sessions: the decoupled pipeline against the same work on the engine thread."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from benchmarks import assets
from benchmarks.contenders import PER_TOKEN_KV8
from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.experiments.section import Bars, Section
from benchmarks.markdown import table
from benchmarks.process import MeasurementError
from benchmarks.sessions import serial_daemon
from benchmarks.sessions.returning import Returned, serve_all
from benchmarks.settings import GLM_SMALL, TINY, Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store
from benchmarks.verdict import at_least

ROWS = 8
CLIENTS = 32
GOAL = 1.85
WAYS = {"decoupled": "autoglmd", "serial": serial_daemon.__name__}
THREADS = (2, 1)
SENTENCE = "把客厅的灯调到50%,然后打开卧室的空调。Turn off the lights in the kitchen, please. "
TURN = "And in the bedroom? "


@dataclass(frozen=True)
class Sizes:
    """Of a workload.

    Attributes:
        sessions: how many return, in another order each pass.
        sentences: of each one's first turn.
        passes: how often each returns.
        answer: tokens of each answer.
    """

    sessions: int
    sentences: int
    passes: int
    answer: int


FULL, QUICK = Sizes(200, 4, 1, 8), Sizes(24, 2, 1, 4)
SHORT_PASSES = 5
"""Of a small model's sessions: its requests are so short that one pass says little."""


class ReturningSessions:
    """200 sessions on disk and 8 rows, memory for none of them."""

    name = "returning"
    title = "Returning sessions: decoupled against serial"

    def measure(self, settings: Settings, store: Store) -> None:
        """Take turns, a pair a round; who begins changes."""
        for shape in _shapes(settings):
            for threads in THREADS:
                for number in range(settings.rounds):
                    for way in WAYS if number % 2 == 0 else reversed(WAYS):
                        key = f"{self.name}/{shape}/{threads}/{way}/{number}"
                        store.need(key, partial(_measure, settings, shape, threads, (way, number)))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            row
            for shape in _shapes(settings)
            for threads in THREADS
            if (row := _row(store, f"{self.name}/{shape}/{threads}", f"{shape}, {threads}"))
        ]
        if not rows:
            return []
        header = [
            "shape, compute threads",
            "cached tokens / answer",
            "serial, requests/s",
            "decoupled, requests/s",
            f"decoupled / serial (goal: {GOAL})",
            "of serial time: prepare",
            "send",
            "save",
            "cores used: serial",
            "decoupled",
            "at most",
        ]
        return [Section(self.title, f"{_NOTE}\n\n{table(header, rows)}", (_plot(settings, store),))]


_NOTE = (
    f"{FULL.sessions} sessions come back from disk for a turn of text each, on {ROWS} rows ({PER_TOKEN_KV8.build}), "
    f"asked by {CLIENTS} clients, each of which asks for the next one when it has its whole answer; the time ends when "
    "the last turn is saved. No memory is given to conversations, so each is read, checked and decompressed; the files "
    "are in the kernel's page cache. *Serial* is the same daemon wired by the benchmark so that its engine stands "
    "still between two steps while others work, one after the other: *prepare* (reading, decompressing, template, "
    "tokenizer), *send* (until a step's tokens are detokenized and with gRPC), *save* (compressing, writing, syncing). "
    "Shares are of the serial run's time. *Cores used* are the processor's seconds of daemon and clients over the "
    "run's: of two cores that are busy already nobody gains a third. *At most* is what the ratio could be if nothing "
    "but the steps were left, or all cores were busy all the time, whichever is less."
)


def _shapes(settings: Settings) -> tuple[str, ...]:
    """A model whose steps take nearly all of the time, and the embedded one, whose steps are short."""
    return (TINY,) if settings.own_shape == TINY else (settings.own_shape, GLM_SMALL)


def _sizes(settings: Settings, shape: str) -> Sizes:
    sizes = QUICK if settings.quick else FULL
    return replace(sizes, passes=SHORT_PASSES) if shape in (TINY, GLM_SMALL) else sizes


def _measure(settings: Settings, shape: str, threads: int, turn: tuple[str, int]) -> Result:
    way, number = turn
    print(f"returning, {shape}, {threads} threads, round {number}: {way}", flush=True)
    sizes = _sizes(settings, shape)
    pristine = _need_sessions(settings, shape, sizes)
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        home = Home(Path(folder), memory_bytes=0, module=WAYS[way])
        shutil.copytree(pristine / "sessions", home.folder / "sessions")
        # A gigabyte that the kernel still has to write would be in the way of the daemon's own syncs.
        os.sync()
        choice = EngineChoice(rows=ROWS, context_tokens=1024, threads=threads)
        with daemon(settings, assets.need(settings, shape, PER_TOKEN_KV8.kind), choice, home=home) as running:
            before = _cpu_seconds(running.pid)
            done = asyncio.run(_serve_passes(running.socket, sizes, number))
            cpu, facts = _cpu_seconds(running.pid) - before, running.facts()
        told = home.folder / serial_daemon.DONE
        shares = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    if done.tiers["unspecified"]:
        raise MeasurementError(f"{done.tiers['unspecified']} sessions were not found again; remove {pristine}")
    result = {**_told(done), "cpu": cpu, "cores": os.cpu_count(), "chores": shares, "sizes": asdict(sizes)}
    print(f"  {result}", flush=True)
    return {**result, "facts": facts}


def _told(done: Returned) -> Result:
    times = {"rate": done.rate, "seconds": done.seconds, "answered": done.answered}
    cached = done.cached / done.requests
    return {**times, "tokens": done.tokens, "cached": cached, "tiers": dict(done.tiers)}


def _need_sessions(settings: Settings, shape: str, sizes: Sizes) -> Path:
    """The state of a daemon whose clients had all sessions' first turns. Made once, and copied for each run."""
    name = f"{shape}-{sizes.sessions}-{sizes.sentences}"
    made = settings.work / "sessions" / name
    if made.exists():
        return made
    partial = made.with_name(f".partial-{name}")
    shutil.rmtree(partial, ignore_errors=True)
    print(f"making {sizes.sessions} sessions of {shape} ...", flush=True)
    first = ((f"session {number}", f"{number}. {SENTENCE * sizes.sentences}") for number in range(sizes.sessions))
    bundle = assets.need(settings, shape, PER_TOKEN_KV8.kind)
    choice = EngineChoice(rows=ROWS, context_tokens=1024)
    with daemon(settings, bundle, choice, home=Home(partial, memory_bytes=0)) as running:
        asyncio.run(serve_all(running.socket, first, CLIENTS, sizes.answer))
    partial.rename(made)
    return made


def _cpu_seconds(pid: int) -> float:
    """What the daemon and we, its clients, have taken of the cores so far."""
    return sum(sum(psutil.Process(each).cpu_times()[:2]) for each in (pid, os.getpid()))


async def _serve_passes(address: str, sizes: Sizes, seed: int) -> Returned:
    """Let all sessions return in a random order, pass by pass.

    A pass begins when all of the one before is saved: else a session would be found among what waits for the disk, and
    two of its turns be one save.
    """
    random, all_passes = np.random.default_rng(seed), Returned()
    for turn in range(sizes.passes):
        asked = [(f"session {number}", f"{TURN}{turn}") for number in random.permutation(sizes.sessions)]
        all_passes.add(await serve_all(address, asked, CLIENTS, sizes.answer))
    return all_passes


def _row(store: Store, prefix: str, title: str) -> list[str]:
    decoupled, serial = store.paired([f"{prefix}/{way}" for way in WAYS])
    if not decoupled:
        return []
    rates = [[result["rate"] for result in results] for results in (serial, decoupled)]
    shares = {
        name: Spread.of([100 * result["chores"].get(name, 0.0) / result["seconds"] for result in serial])
        for name in ("prepare", "send", "save")
    }
    most = Spread.of([_at_most(result) for result in serial])
    return [
        title,
        f"{serial[0]['cached']:.0f} / {serial[0]['sizes']['answer']}",
        *(Spread.of(values).text(1) for values in rates),
        at_least(paired_ratio(rates[1], rates[0]), GOAL).text,
        *(f"{share.median:.1f} %" for share in shares.values()),
        *map(_cores_used, (serial, decoupled)),
        f"{most.median:.2f}",
    ]


def _cores_used(results: Sequence[Result]) -> str:
    return f"{Spread.of([result['cpu'] / result['seconds'] for result in results]).median:.2f}"


def _plot(settings: Settings, store: Store) -> Bars:
    found = {
        f"{shape}, {threads} threads": store.paired([f"returning/{shape}/{threads}/{way}" for way in WAYS])
        for shape in _shapes(settings)
        for threads in THREADS
    }
    measured = {name: rounds for name, rounds in found.items() if rounds[0]}
    series = {
        way: tuple(Spread.of([result["rate"] for result in rounds[index]]).bar for rounds in measured.values())
        for index, way in enumerate(WAYS)
    }
    title = "Returning sessions: requests per second, more is better"
    return Bars("returning.png", title, "requests/s", tuple(measured), series)


def _at_most(result: Result) -> float:
    """What the ratio could be: with nothing but the steps left, and with all cores busy all the time."""
    steps = result["seconds"] - sum(result["chores"].values())
    return float(result["seconds"] / max(steps, result["cpu"] / result["cores"]))
