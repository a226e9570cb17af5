"""llama.cpp's slot files: what its server does for `POST /slots/ID?action=save` and `restore`.

The server calls `llama_state_seq_save_file` and `llama_state_seq_load_file`, and so does this, through
llama-cpp-python (`Llama.save_state` copies the whole context into memory and writes no file).

    python -m benchmarks.sessions.slot_files JOB.json RESULT.json
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from benchmarks.sessions import copying as jobs
from benchmarks.sessions.copying import TURN_TOKENS, Copying, median_seconds, seconds
from benchmarks.sessions.page_cache import drop

BATCH_TOKENS = 2048
SEQUENCE = 0


class Slot:
    """A model and a context with one sequence."""

    def __init__(self, job: Copying) -> None:
        """Load the GGUF file `job.model` with llama.cpp's defaults but for threads and context."""
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(job.model.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_seq_max = job.context, BATCH_TOKENS, 1
        params.n_threads = params.n_threads_batch = job.threads
        self._context = llama_cpp.llama_init_from_model(model, params) if model else None
        if not self._context:
            raise RuntimeError(f"llama.cpp could not load {job.model}")
        self._vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def compute(self, ids: list[int], past: int) -> int:
        """Compute tokens behind the first `past`; return the greedy one after them."""
        for at in range(0, len(ids), BATCH_TOKENS):
            self._run(ids[at : at + BATCH_TOKENS], past + at)
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(pointer, shape=(self._vocab,)).argmax())

    def cut(self, past: int) -> None:
        """Forget what lies behind the first `past` tokens."""
        llama_cpp.llama_memory_seq_rm(self._memory, SEQUENCE, past, -1)

    def clear(self) -> None:
        """Forget everything."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def save(self, path: Path, ids: list[int]) -> None:
        """Write the sequence, as the server does: it is left to the kernel when the disk has it."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        if not llama_cpp.llama_state_seq_save_file(self._context, str(path).encode(), SEQUENCE, tokens, len(ids)):
            raise RuntimeError(f"llama.cpp did not save {path}")

    def restore(self, path: Path, room: int) -> int:
        """Read a sequence back; return how many tokens it has."""
        tokens, count = (llama_cpp.llama_token * room)(), ctypes.c_size_t(0)
        name = str(path).encode()
        found = llama_cpp.llama_state_seq_load_file(self._context, name, SEQUENCE, tokens, room, ctypes.byref(count))
        if not found:
            raise RuntimeError(f"llama.cpp did not restore {path}")
        return count.value

    def _run(self, ids: list[int], past: int) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index], batch.pos[index] = token, past + index
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, SEQUENCE
            batch.logits[index] = index == len(ids) - 1
        if status := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode returned {status}")


def measure(job: Copying) -> dict[str, Any]:
    """Compute a conversation, save it, bring it back, and see that it is the same."""
    slot, folder = Slot(job), Path(job.folder)
    ids = np.random.default_rng(job.seed).integers(3, job.vocab, job.context).tolist()
    first, file = ids[: job.tokens], folder / "slot.bin"
    prefill = seconds(lambda: slot.compute(first, 0))
    expected = slot.compute(ids[job.tokens : job.tokens + 1], job.tokens)
    slot.cut(job.tokens)

    def forget() -> None:
        slot.clear()
        drop(folder)

    repeats = job.repeats
    times = {
        "prefill": prefill,
        "save": median_seconds(repeats, lambda: slot.save(file, first), lambda: file.unlink(missing_ok=True)),
        "sync": median_seconds(repeats, lambda: sync(file), lambda: slot.save(file, first)),
        "load_disk": median_seconds(repeats, lambda: slot.restore(file, job.context), forget),
        "load_memory": median_seconds(repeats, lambda: slot.restore(file, job.context), slot.clear),
    }
    same = slot.compute(ids[job.tokens : job.tokens + 1], job.tokens) == expected
    size = file.stat().st_size
    slot.compute(ids[job.tokens + 1 : job.tokens + TURN_TOKENS], job.tokens + 1)
    longer = ids[: job.tokens + TURN_TOKENS]
    times["append"] = median_seconds(repeats, lambda: slot.save(file, longer))
    facts = {"llama-cpp-python": llama_cpp.__version__, "kv": "f16"}
    return {**times, "bytes": size, "append_bytes": file.stat().st_size, "same": same, "facts": facts}


def sync(path: Path) -> None:
    """Have a file on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> None:
    """Measure and write the result."""
    job_file, result_file = (Path(argument) for argument in sys.argv[1:3])
    result_file.write_text(json.dumps(measure(jobs.read(job_file)), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
