"""What the daemon's process takes at its peak, with a prepared model and every row in use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks import assets
from benchmarks.contenders import SCHEMES, Contender
from benchmarks.daemon_process import EngineChoice, daemon
from benchmarks.engines.base import prompts
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.store import Result, Store
from benchmarks.streams import run_together

ROWS = 8
PROMPT_TOKENS = 512
OUTPUT_TOKENS = 64
ALLOWANCE = 250e6


class Memory:
    """Eight requests of 512 tokens each, and the kernel's own account of the process."""

    name = "memory"

    def measure(self, settings: Settings, store: Store) -> None:
        """Measure each shape and scheme once; memory does not vary as time does."""
        for shape in settings.shapes:
            for contender in SCHEMES:
                store.need(f"{self.name}/{shape}/{contender.key}", partial(_measure, settings, contender, shape))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = [
            _row(f"{shape}, {contender.build}", result)
            for shape in settings.shapes
            for contender in SCHEMES
            if (result := store.get(f"{self.name}/{shape}/{contender.key}"))
        ]
        if not rows:
            return []
        note = (
            f"Megabytes, read from `/proc`. {ROWS} streams with prompts of {PROMPT_TOKENS} tokens and outputs of "
            f"{OUTPUT_TOKENS}. *Weights* are the bundle's files as shipped. Mapped weights count as resident where "
            "they were touched, although the kernel may take those pages back. Measured once, and judged by that."
        )
        header = ["", "weights", "KV in use", "peak resident", "of that anonymous", "over weights + KV (goal: 250)"]
        return [Section("Peak memory of the daemon", f"{note}\n\n{table(header, rows)}")]


def _measure(settings: Settings, contender: Contender, shape: str) -> Result:
    print(f"memory, {shape}: {contender.build}", flush=True)
    bundle = assets.need(settings, shape, contender.kind)
    ids = prompts(np.random.default_rng(0), settings.vocab(shape), ROWS, PROMPT_TOKENS)
    choice = EngineChoice(rows=ROWS)
    with daemon(settings, bundle, choice):
        pass  # the first start prepares the model
    with daemon(settings, bundle, choice) as running:
        asyncio.run(run_together(running.socket, ids, OUTPUT_TOKENS))
        taken = running.memory()
        kv = running.kv_bytes_per_token() * ROWS * (PROMPT_TOKENS + OUTPUT_TOKENS)
    return {**taken, "kv": kv, "weights": sum(file.stat().st_size for file in bundle.glob("model.onnx*"))}


def _row(title: str, result: Result) -> list[str]:
    over = result["peak_resident"] - result["weights"] - result["kv"]
    verdict = "reached" if over <= ALLOWANCE else "**missed**"
    sizes = [result[name] / 1e6 for name in ("weights", "kv", "peak_resident", "anonymous")]
    return [title, *(f"{size:.0f}" for size in sizes), f"{over / 1e6:.0f} {verdict}"]
