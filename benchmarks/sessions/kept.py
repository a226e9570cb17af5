"""A conversation in a row of the daemon's own runner, into the daemon's own store and back: each part by itself.

python -m benchmarks.sessions.kept JOB.json RESULT.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial, reduce
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from autoglmd.host.amx import amx_withheld
from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.model.bundle import Bundle, read_bundle
from autoglmd.model.device import DeviceChoice
from autoglmd.sessions.conversation import Conversation, ModelMark, Turn
from autoglmd.sessions.store import SessionStore
from benchmarks.machine import file_system
from benchmarks.sessions import copying as jobs
from benchmarks.sessions.copying import TURN_TOKENS, Copying, median_seconds, seconds
from benchmarks.sessions.page_cache import drop
from benchmarks.sessions.stores import open_store, page_cuts

with amx_withheld():
    # As in the daemon by default.
    from autoglmd.model.ort_runner import OrtRunner, RunnerOptions

YEARS_LATER = 4e9
Blocks = tuple[KvBlock, ...]


def load(job: Copying) -> tuple[OrtRunner, Bundle]:
    """The runner as the daemon makes it, with one row."""
    bundle = read_bundle(Path(job.model))
    device = DeviceChoice("cpu", ("CPUExecutionProvider",))
    graph, prepared = (Path(job.graph), True) if job.graph else (bundle.graph, False)
    options = RunnerOptions(graph, prepared, device, "", rows=1, context_tokens=job.context, threads=job.threads)
    return OrtRunner(bundle, options), bundle


@dataclass
class Bench:
    """Everything that is timed, over one computed conversation."""

    job: Copying
    runner: OrtRunner
    mark: ModelMark
    store: SessionStore
    ids: np.ndarray

    def compute(self, start: int, stop: int) -> None:
        """Prefill positions of the row, in chunks."""
        for at in range(start, stop, self.job.chunk):
            chunk = self.ids[at : min(at + self.job.chunk, stop)]
            self.runner.prefill(0, chunk, at, final=at + len(chunk) == stop)

    def saves(self, first: Blocks, more: Blocks) -> dict[str, float]:
        """Seconds to save it whole, and to append a turn; each save is of another session."""
        begun = [self._conversation(f"session {number}", first) for number in range(self.job.repeats)]
        left = iter(begun)
        whole = median_seconds(self.job.repeats, lambda: self.store.save(next(left)))
        sizes = self._bytes()
        longer = iter([self._longer(each, more) for each in begun])
        append = median_seconds(self.job.repeats, lambda: self.store.save(next(longer)))
        return {"save": whole, "append": append, "bytes": sizes, "append_bytes": self._bytes() - sizes}

    def loads(self, file: Path) -> dict[str, float]:
        """Seconds to read a file from disk, and to load the session in it from disk and from the kernel's memory."""
        repeats, folder = self.job.repeats, file.parent
        work = partial(self.store.load, SessionKey("bench", "session 0"), self.mark)
        return {
            "read_disk": median_seconds(repeats, file.read_bytes, lambda: drop(folder)),
            "load_disk": median_seconds(repeats, work, lambda: drop(folder)),
            "load_memory": median_seconds(repeats, work),
        }

    def steps(self) -> dict[str, float]:
        """Seconds of a run of a few new tokens behind the conversation, with everything in its place."""
        tokens, repeats = self.job.tokens, self.job.repeats
        return {
            str(count): median_seconds(repeats, partial(self.compute, tokens, tokens + count))
            for count in self.job.steps
        }

    def file(self) -> Path:
        """The file of the session that `loads` brings back."""
        entry = self.store.entry(SessionKey("bench", "session 0"))
        assert entry is not None
        return next(Path(self.job.folder).rglob(entry.file))

    def _bytes(self) -> float:
        return sum(each.bytes for each in self.store.catalog.usage().values()) / self.job.repeats

    def _conversation(self, name: str, blocks: Blocks) -> Conversation:
        return self._longer(self.store.begin(SessionKey("bench", name), self.mark), blocks)

    def _longer(self, before: Conversation, blocks: Blocks) -> Conversation:
        start, stop = blocks[0].start, blocks[-1].stop
        # Never too old, whatever the clock says.
        turn = Turn(before.turns + 1, YEARS_LATER, start, tuple(self.ids[start:stop].tolist()), 0, ())
        return reduce(Conversation.having, blocks, before.after(turn))


def measure(job: Copying) -> dict[str, Any]:
    """Compute a conversation, and time every part of keeping it and of bringing it back."""
    runner, bundle = load(job)
    spec = runner.spec
    mark = ModelMark("bench", bundle.version, bundle.tokenizer_digest, runner.kv_layout, spec.kv_bytes_per_token)
    ids = np.random.default_rng(job.seed).integers(3, job.vocab, job.context)
    bench = Bench(job, runner, mark, open_store(Path(job.folder)), ids)
    end, cuts = job.tokens + TURN_TOKENS, page_cuts(job.tokens)
    prefill = seconds(lambda: bench.compute(0, job.tokens))
    bench.compute(job.tokens, end)
    read_out = median_seconds(job.repeats, lambda: runner.read_kv(0, cuts))
    read_turn = median_seconds(job.repeats, lambda: runner.read_kv(0, (job.tokens, end)))
    # A later turn is one block.
    first, more = runner.read_kv(0, cuts), runner.read_kv(0, (job.tokens, end))
    saved = bench.saves(first, more)
    loaded = bench.loads(bench.file())
    write_in = median_seconds(job.repeats, lambda: runner.write_kv(0, first), runner.rest)
    bench.compute(job.tokens, end)
    times = {"prefill": prefill, "read_row": read_out, "read_row_turn": read_turn, "write_row": write_in}
    sizes = {"kv_bytes_per_token": spec.kv_bytes_per_token, "tokens": job.tokens}
    return {**sizes, **times, **saved, **loaded, "steps": bench.steps(), "facts": _facts(job, spec.kv_precision)}


def _facts(job: Copying, precision: str) -> dict[str, str]:
    versions = {"autoglmd": metadata.version("autoglmd"), "zstandard": zstandard.__version__}
    return {**versions, "kv": precision, "file system": file_system(Path(job.folder))}


def main() -> None:
    """Measure and write the result."""
    job_file, result_file = (Path(argument) for argument in sys.argv[1:3])
    result_file.write_text(json.dumps(measure(jobs.read(job_file)), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
