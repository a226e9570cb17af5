"""What a token of a conversation takes on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import assets
from benchmarks.contenders import PER_TOKEN, PER_TOKEN_KV8, Contender
from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.sessions.turns import Answer, talking
from benchmarks.settings import GLM_SMALL, Settings
from benchmarks.store import Result, Store
from openglm import Client

GOAL = 0.3
BUILDS = {"int8": PER_TOKEN_KV8, "fp32": PER_TOKEN}
TURN_TOKENS = 125
ANSWER_TOKENS = 24


@dataclass(frozen=True)
class Sizes:
    """How long the conversation is, at least, in tokens."""

    tokens: int


FULL, QUICK = Sizes(2000), Sizes(500)


class SessionBytes:
    """The same conversation with an INT8 and with an FP32 KV cache."""

    name = "bytes"
    title = "Bytes on disk"

    def measure(self, settings: Settings, store: Store) -> None:
        """Measure each once; bytes do not vary as time does."""
        for shape in _shapes(settings):
            for kind, contender in BUILDS.items():
                key = f"{self.name}/{shape}/{kind}/0"
                store.need(key, partial(_measure, settings, shape, contender))

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        rows = []
        for shape in _shapes(settings):
            found = [store.get(f"{self.name}/{shape}/{kind}/0") for kind in BUILDS]
            if all(found):
                rows.append(_row(shape, *filter(None, found)))
        if not rows:
            return []
        note = (
            "Bytes per token: what keys and values take in memory, and the whole file of a session divided by the "
            "session's tokens (text, token ids and heads included). Random weights make keys and values that are close "
            f"to noise; {GLM_SMALL} is trained, and its session is its own held-out questions with its answers. The "
            "goal is set for the file with INT8 against FP32 keys and values in memory. Measured once, and judged by "
            "that."
        )
        header = [
            "",
            "tokens",
            "FP32 KV in memory",
            "FP32 KV on disk",
            "INT8 KV in memory",
            "INT8 KV on disk",
            f"INT8 on disk / FP32 in memory (goal: at most {GOAL})",
            "INT8 on disk / FP32 on disk",
        ]
        return [Section(self.title, f"{note}\n\n{table(header, rows)}")]


def _shapes(settings: Settings) -> tuple[str, ...]:
    """Leave glm-small out where its checkpoint has not been trained."""
    trained = assets.path(settings, GLM_SMALL, "checkpoint").exists()
    shapes = dict.fromkeys((settings.own_shape, settings.session_shape))
    return (*((GLM_SMALL,) if trained else ()), *shapes)


def _measure(settings: Settings, shape: str, contender: Contender) -> Result:
    print(f"bytes, {shape}: {contender.build}", flush=True)
    sizes = QUICK if settings.quick else FULL
    bundle = assets.need(settings, shape, contender.kind)
    choice = EngineChoice(rows=1, context_tokens=sizes.tokens + 512)
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        home = Home(Path(folder), prepare=contender is PER_TOKEN_KV8)
        with daemon(settings, bundle, choice, home=home) as running, talking(running.socket) as ask:
            converse = _chat if shape == GLM_SMALL else _noise
            converse(ask, settings.vocab(shape), sizes.tokens)
            facts, kv = running.facts(), running.kv_bytes_per_token()
        # Only now: what was said last is saved at the daemon's end at the latest.
        with daemon(settings, bundle, choice, home=home) as running, Client(running.socket) as client:
            [session] = client.sessions()
    result = {"tokens": session.tokens, "disk_bytes": session.disk_bytes, "kv_bytes_per_token": kv}
    print(f"  {result}", flush=True)
    return {**result, "facts": facts}


def _noise(ask: Callable[..., Answer], vocab: int, tokens: int) -> None:
    """Turns of random tokens."""
    random = np.random.default_rng(0)
    for _ in range(-(-tokens // (TURN_TOKENS + 1))):
        ask(random.integers(3, vocab, TURN_TOKENS).tolist(), "noise")


def _chat(ask: Callable[..., Answer], _: int, tokens: int) -> None:
    """Questions that training never saw, and what the model answers."""
    from models.glm_small.held_out import cases

    # Mixed: neighbours in the list are alike.
    asked = cases(per_group=8)
    said = 0
    for case in (asked[index] for index in np.random.default_rng(0).permutation(len(asked))):
        if said >= tokens:
            return
        answer = ask([{"role": "user", "content": case.text}], "chat", ANSWER_TOKENS, ignore_eos=False)
        said = answer.prompt_tokens + len(answer.ids)


def _row(shape: str, int8: Result, fp32: Result) -> list[str]:
    memory, disk = ([each[name] for each in (int8, fp32)] for name in ("kv_bytes_per_token", "disk_bytes"))
    per_token = [size / each["tokens"] for size, each in zip(disk, (int8, fp32), strict=True)]
    ratio = per_token[0] / memory[1]
    verdict = "reached" if ratio <= GOAL else "**missed**"
    sizes = [f"{size:,.0f}" for size in (memory[1], per_token[1], memory[0], per_token[0])]
    return [shape, str(int8["tokens"]), *sizes, f"{ratio:.3f} {verdict}", f"{per_token[0] / per_token[1]:.3f}"]
