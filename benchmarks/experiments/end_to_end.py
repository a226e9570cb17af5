"""Through gRPC, scheduler, sampler and detokenizer, against the raw onnxruntime loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks import assets
from benchmarks.contenders import SCHEMES, Contender
from benchmarks.daemon_process import EngineChoice, daemon
from benchmarks.engines.base import WARM_STEPS, prompts
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store
from benchmarks.streams import run_together, steady_rate
from benchmarks.verdict import at_least

STREAMS = 8
PROMPT_TOKENS = 64
DECODE_TOKENS = 132
GOAL = 0.95


class EndToEnd:
    """Eight streams, decoded by the daemon for a client over gRPC, and by the raw loop."""

    name = "end-to-end"

    def measure(self, settings: Settings, store: Store) -> None:
        """Take turns, a pair a round; who begins changes."""
        for shape in settings.shapes:
            for contender in SCHEMES:
                for number in range(settings.rounds):
                    turns = [_raw, _daemon] if number % 2 == 0 else [_daemon, _raw]
                    for turn in turns:
                        key = f"{self.name}/{shape}/{contender.key}/{turn.__name__.strip('_')}/{number}"
                        store.need(key, partial(turn, settings, contender, shape, number))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            row
            for shape in settings.shapes
            for contender in SCHEMES
            if (row := _row(store, f"{self.name}/{shape}/{contender.key}", f"{shape}, {contender.build}"))
        ]
        if not rows:
            return []
        note = "Tokens per second of eight streams together, while all decode; the client is a process of its own."
        header = ["", "raw loop", "through gRPC", f"gRPC / raw (goal: at least {GOAL}, judged by all rounds)"]
        return [Section("Through gRPC, end to end", f"{note}\n\n{table(header, rows)}")]


def _raw(settings: Settings, contender: Contender, shape: str, number: int) -> Result:
    print(f"end-to-end, {shape}, round {number}: raw loop, {contender.build}", flush=True)
    job = replace(
        contender.job(settings, shape),
        decode_streams=(STREAMS,),
        prompt_tokens=PROMPT_TOKENS,
        decode_tokens=DECODE_TOKENS,
        decode_seconds=math.inf,
        seed=number,
    )
    return {"rate": contender.run(settings, job)["figures"][f"decode_{STREAMS}"]}


def _daemon(settings: Settings, contender: Contender, shape: str, number: int) -> Result:
    print(f"end-to-end, {shape}, round {number}: daemon, {contender.build}", flush=True)
    random = np.random.default_rng(number)
    ids = prompts(random, settings.vocab(shape), STREAMS, PROMPT_TOKENS)
    bundle = assets.need(settings, shape, contender.kind)
    with daemon(settings, bundle, EngineChoice(rows=STREAMS)) as running:
        traces = asyncio.run(run_together(running.socket, ids, DECODE_TOKENS))
    return {"rate": steady_rate(traces, WARM_STEPS)}


def _row(store: Store, prefix: str, title: str) -> list[str]:
    rounds = store.paired([f"{prefix}/{kind}" for kind in ("raw", "daemon")])
    raw, through = ([result["rate"] for result in results] for results in rounds)
    if not raw:
        return []
    verdict = at_least(paired_ratio(through, raw), GOAL, digits=3)
    return [title, Spread.of(raw).text(), Spread.of(through).text(), verdict.text]
