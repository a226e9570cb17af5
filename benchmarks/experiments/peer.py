"""Keeping a conversation and bringing it back: beside llama.cpp's slot files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from benchmarks import assets
from benchmarks.contenders import LLAMA_CPP, PER_TOKEN_KV8
from benchmarks.experiments.section import Section
from benchmarks.markdown import table
from benchmarks.sessions.copying import TURN_TOKENS, Copying, run
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import Result, Store

TOKENS, QUICK_TOKENS = 2000, 500
Figure = Callable[[Result], float]

OURS: dict[str, Figure] = {
    "save it whole, and have it on the disk": lambda each: each["read_row"] + each["save"],
    "save the next turn, and have it on the disk": lambda each: each["read_row_turn"] + each["append"],
    "restore it, from disk": lambda each: each["load_disk"] + each["write_row"],
    "restore it, from the page cache": lambda each: each["load_memory"] + each["write_row"],
}
THEIRS: dict[str, Figure] = {
    "save it whole, and have it on the disk": lambda each: each["save"] + each["sync"],
    "save the next turn, and have it on the disk": lambda each: each["append"] + each["sync"],
    "restore it, from disk": lambda each: each["load_disk"],
    "restore it, from the page cache": lambda each: each["load_memory"],
}


class Peer:
    """The same tokens, each engine in a process of its own, on one disk."""

    name = "peer"
    title = "Beside llama.cpp's slot files"

    def measure(self, settings: Settings, store: Store) -> None:
        """Take turns, a pair a round; who begins changes."""
        shape = settings.session_shape
        for number in range(settings.rounds):
            turns = [_ours, _theirs] if number % 2 == 0 else [_theirs, _ours]
            for turn in turns:
                key = f"{self.name}/{shape}/{turn.__name__.strip('_')}/{number}"
                store.need(key, partial(turn, settings, shape, number), turn is _ours)

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write one table."""
        shape = settings.session_shape
        ours, theirs = store.paired([f"{self.name}/{shape}/{who}" for who in ("ours", "theirs")])
        if not ours:
            return []
        same = "gave the same next token" if all(each["same"] for each in theirs) else "did NOT give the same token"
        note = (
            f"{shape}, {ours[0]['tokens']} tokens, milliseconds; ours has an {ours[0]['facts']['kv'].upper()} KV cache "
            f"({PER_TOKEN_KV8.build}), llama.cpp its default of FP16 ({LLAMA_CPP.name}). Its server saves and restores "
            "slots with `llama_state_seq_save_file` and `llama_state_seq_load_file`, and so does this; restored, it "
            f"{same}. It leaves the file to the kernel, and we sync: so a sync is counted for both, and told by "
            f"itself. A next turn has {TURN_TOKENS} tokens: we append them, llama.cpp writes all anew. Ours is the "
            "daemon's store and runner: copying out of or into the row, zstd, checksums, catalog. *From disk*: the "
            "kernel was told to forget the file."
        )
        header = ["", "autoglmd", "llama.cpp", "llama.cpp / autoglmd"]
        versions = "; ".join(
            ", ".join(f"{name} {fact}" for name, fact in each[0]["facts"].items()) for each in (ours, theirs)
        )
        return [Section(self.title, f"{note}\n\n{table(header, _rows(ours, theirs))}\n- {versions}\n")]


def _ours(settings: Settings, shape: str, number: int) -> Result:
    print(f"peer, {shape}, round {number}: ours", flush=True)
    graph = str(assets.need(settings, shape, f"prepared-{PER_TOKEN_KV8.kind}") / "model.onnx")
    copying = _copying(settings, shape, number, PER_TOKEN_KV8.kind)
    return _run(settings.python, "benchmarks.sessions.kept", settings, replace(copying, graph=graph))


def _theirs(settings: Settings, shape: str, number: int) -> Result:
    print(f"peer, {shape}, round {number}: llama.cpp", flush=True)
    copying = _copying(settings, shape, number, LLAMA_CPP.kind)
    return _run(settings.peers_python, "benchmarks.sessions.slot_files", settings, copying)


def _copying(settings: Settings, shape: str, number: int, kind: str) -> Copying:
    tokens = QUICK_TOKENS if settings.quick else TOKENS
    model = str(assets.need(settings, shape, kind))
    return Copying(model, "", tokens, settings.vocab(shape), threads=settings.threads, seed=number)


def _run(python: str, module: str, settings: Settings, copying: Copying) -> Result:
    with tempfile.TemporaryDirectory(dir=settings.work) as folder:
        result = run(python, module, replace(copying, folder=folder))
    told = {name: value for name, value in result.items() if name not in ("facts", "steps")}
    print(f"  {told}", flush=True)
    return result


def _rows(ours: Sequence[Result], theirs: Sequence[Result]) -> list[list[str]]:
    rows = [
        _row(title, [OURS[title](each) for each in ours], [THEIRS[title](each) for each in theirs]) for title in OURS
    ]
    syncs = Spread.of([1000 * each["sync"] for each in theirs]).text()
    rows.append(["of llama.cpp's saving, the sync that its server does not do", "", syncs, ""])
    for title, name in (("bytes written for the whole", "bytes"), ("bytes written for the next turn", "append_bytes")):
        sizes = [each[0][name] for each in (ours, theirs)]
        rows.append([title, *(f"{size:,.0f}" for size in sizes), f"{sizes[1] / sizes[0]:.1f}"])
    return rows


def _row(title: str, ours: Sequence[float], theirs: Sequence[float]) -> list[str]:
    times = [Spread.of([1000 * value for value in values]).text() for values in (ours, theirs)]
    return [title, *times, paired_ratio(theirs, ours).text(2)]
