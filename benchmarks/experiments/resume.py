"""Taking a conversation up again: from disk, from memory, from its row; against computing it anew."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import assets
from benchmarks.contenders import PER_TOKEN_KV8
from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.sessions.copying import Copying, run
from benchmarks.sessions.page_cache import drop
from benchmarks.sessions.turns import Answer, talking
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store
from benchmarks.verdict import at_least

TURNS = (1, 16)
"""New tokens that the client sends. The daemon computes one more: the last answer's, whose logits nobody needed."""
WARM_UP_TOKENS = 8
SETTLE_SECONDS = 0.3
COLD_GOAL, HOT_GOAL = 50.0, 500.0
TIERS = {"cold": "disk", "warm": "memory", "hot": "row"}


@dataclass(frozen=True)
class Sizes:
    """How long the conversation is, and how often each turn is asked from each tier."""

    tokens: int
    repeats: int


FULL, QUICK = Sizes(2000, 3), Sizes(500, 1)


class Resume:
    """One session; the daemon is started anew for each cold turn."""

    name = "resume"
    title = "Taking a conversation up again"

    def measure(self, settings: Settings, store: Store) -> None:
        """Ask the daemon, then time the parts by themselves."""
        shape = settings.session_shape
        for number in range(settings.rounds):
            store.need(f"{self.name}/{shape}/daemon/{number}", partial(_measure, settings, shape, number))
            store.need(f"{self.name}/{shape}/parts/{number}", partial(_parts, settings, shape, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write two tables."""
        shape = settings.session_shape
        asked, parts = store.paired([f"{self.name}/{shape}/{kind}" for kind in ("daemon", "parts")])
        if not asked:
            return []
        body = f"{_note(shape, asked[0])}\n\n{_ratios(asked, parts)}\n{_PARTS_NOTE}\n\n{_parts_table(asked, parts)}"
        return [Section(self.title, body)]


_PARTS_NOTE = (
    "What a cold turn consists of, each part by itself in a process of its own, with the daemon's store and runner: "
    "the file's bytes from disk; what checking and decompressing them, and reading text and ids, add to that, although "
    "most of it goes on beside the reading; copying into the row; the step. *Beside them* is the rest of what the "
    "client waits for: gRPC, tokenizing, the queue. Milliseconds."
)


def _note(shape: str, result: Result) -> str:
    return (
        f"{shape}, {PER_TOKEN_KV8.build}; a session of {result['tokens']} tokens and a daemon with one row. "
        "Milliseconds that a client waits for the first token of a next turn. *From scratch*: a new session with a "
        "prompt as long, of other tokens, so that nothing of it is known. *Cold*: the daemon was started anew, the "
        "kernel was told to forget the file (`posix_fadvise`), and one short request of somebody else came before. "
        "*Warm*: somebody else had the row since. *Hot*: nobody had. Which it was is what `Started.cache_tier` said. "
        "*A step* is the same few tokens computed behind the conversation by the bare runner, everything in its place: "
        "no resume can be faster, so scratch / step is the most that a ratio can be."
    )


def _measure(settings: Settings, shape: str, number: int) -> Result:
    print(f"resume, {shape}, round {number}: through the daemon", flush=True)
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        visits = _Visits(settings, shape, Path(folder), number)
        scratch = [visits.begin("resumed")]
        turns: dict[str, dict[str, list[float]]] = {}
        for _ in range(visits.sizes.repeats):
            for count in TURNS:
                for name, answer in visits.turns(count).items():
                    kept = turns.setdefault(str(count), {})
                    kept.setdefault(name if answer.tier == TIERS[name] else f"{name} in {answer.tier}", []).append(
                        answer.first
                    )
                    kept.setdefault("computed", []).append(answer.prompt_tokens - answer.cached_tokens)
        scratch.append(visits.begin("another"))
    times = {count: {name: statistics.median(found) for name, found in each.items()} for count, each in turns.items()}
    print(f"  from scratch {scratch} s; turns {times}", flush=True)
    return {"tokens": visits.sizes.tokens, "scratch": statistics.mean(scratch), "turns": times, "facts": visits.facts}


class _Visits:
    """Daemons over one folder, one after the other."""

    def __init__(self, settings: Settings, shape: str, folder: Path, seed: int) -> None:
        self.sizes = QUICK if settings.quick else FULL
        self.facts: dict[str, str] = {}
        self._settings = settings
        self._bundle = assets.need(settings, shape, PER_TOKEN_KV8.kind)
        self._home = Home(folder)
        self._choice = EngineChoice(rows=1, context_tokens=self.sizes.tokens + 512)
        self._random = np.random.default_rng(seed)
        self._vocab = settings.vocab(shape)

    def begin(self, session: str) -> float:
        """Seconds to the first token of a conversation of which nothing is known."""
        with daemon(self._settings, self._bundle, self._choice, home=self._home) as running:
            self.facts = running.facts()
            with talking(running.socket) as ask:
                ask(self._ids(WARM_UP_TOKENS))
                return ask(self._ids(self.sizes.tokens), session).first

    def turns(self, count: int) -> dict[str, Answer]:
        """The answers to a cold, a hot and a warm turn of so many tokens, by these names."""
        drop(self._home.folder / "sessions")
        with (
            daemon(self._settings, self._bundle, self._choice, home=self._home) as running,
            talking(running.socket) as ask,
        ):
            ask(self._ids(WARM_UP_TOKENS))
            cold = self._turn(ask, count)
            hot = self._turn(ask, count)
            ask(self._ids(WARM_UP_TOKENS))
            return {"cold": cold, "hot": hot, "warm": self._turn(ask, count)}

    def _turn(self, ask: Callable[..., Answer], count: int) -> Answer:
        answer = ask(self._ids(count), "resumed")
        # A person needs longer; what is saved behind an answer is not to be in the next one's way.
        time.sleep(SETTLE_SECONDS)
        return answer

    def _ids(self, count: int) -> list[int]:
        ids: list[int] = self._random.integers(3, self._vocab, count).tolist()
        return ids


def _parts(settings: Settings, shape: str, number: int) -> Result:
    print(f"resume, {shape}, round {number}: its parts", flush=True)
    sizes = QUICK if settings.quick else FULL
    graph = assets.need(settings, shape, f"prepared-{PER_TOKEN_KV8.kind}") / "model.onnx"
    model = assets.need(settings, shape, PER_TOKEN_KV8.kind)
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        copying = Copying(str(model), folder, sizes.tokens, settings.vocab(shape), str(graph), settings.threads)
        steps = tuple(count + 1 for count in TURNS)
        return run(settings.python, "benchmarks.sessions.kept", Copying(**{**vars(copying), "steps": steps}))


def _ratios(asked: Sequence[Result], parts: Sequence[Result]) -> str:
    header = [
        "tokens sent, computed",
        "from scratch",
        *TIERS,
        "a step",
        f"scratch / cold (goal: {COLD_GOAL:.0f})",
        f"scratch / hot (goal: {HOT_GOAL:.0f})",
        "scratch / step",
    ]
    return table(header, [_row(count, asked, parts) for count in TURNS])


def _row(count: int, asked: Sequence[Result], parts: Sequence[Result]) -> list[str]:
    scratch = [result["scratch"] for result in asked]
    steps = [result["steps"][str(count + 1)] for result in parts]
    found = {tier: _times(asked, count, tier) for tier in TIERS}
    computed = Spread.of([result["turns"][str(count)]["computed"] for result in asked])
    return [
        f"{count}, {computed.median:.0f}",
        _milliseconds(scratch),
        *(_milliseconds(times) if times else "not so found" for times in found.values()),
        _milliseconds(steps),
        *(_judged(scratch, found[tier], goal) for tier, goal in (("cold", COLD_GOAL), ("hot", HOT_GOAL))),
        paired_ratio(scratch, steps).text(0),
    ]


def _times(asked: Sequence[Result], count: int, tier: str) -> list[float]:
    """Of every round; none if in one of them the conversation was not where it should have been."""
    found = [result["turns"][str(count)] for result in asked]
    return [each[tier] for each in found] if all(tier in each for each in found) else []


def _judged(scratch: Sequence[float], times: Sequence[float], goal: float) -> str:
    return at_least(paired_ratio(scratch, times), goal, digits=0).text if times else "not measured yet"


def _parts_table(asked: Sequence[Result], parts: Sequence[Result]) -> str:
    header = ["tokens sent", "read", "check, decompress: added", "copy into the row", "step", "beside them", "cold"]
    rows = []
    for count in TURNS:
        cold = _times(asked, count, "cold")
        if cold:
            pieces = [_pieces(result, count) for result in parts]
            beside = [whole - sum(each) for whole, each in zip(cold, pieces, strict=True)]
            columns = [list(column) for column in zip(*pieces, strict=True)]
            rows.append([str(count), *(_milliseconds(values) for values in (*columns, beside, cold))])
    return table(header, rows)


def _pieces(part: Result, count: int) -> tuple[float, ...]:
    added = part["load_disk"] - part["read_disk"]
    return part["read_disk"], added, part["write_row"], part["steps"][str(count + 1)]


def _milliseconds(values: Sequence[float]) -> str:
    return Spread.of([1000 * value for value in values]).text()
