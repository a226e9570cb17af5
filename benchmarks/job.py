"""What one worker process is asked to do: a value that travels as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One engine, one model, some workloads.

    Attributes:
        engine: a name in `benchmarks.worker.ENGINES`.
        model: the engine's own file or folder.
        graph: for onnxruntime, a prepared graph to load in place of the folder's own.
        vocab: random prompt ids are below it.
        prompt_tokens: length of each stream's prompt before decoding.
        decode_tokens: steps that each stream decodes at most.
        decode_seconds: enough of counted decode steps; no further step is taken.
        repeats: counted prompts per prefill length.
        chunk: for onnxruntime, prompt tokens computed in one run, as the daemon does.
        run_tokens: for onnxruntime, tokens of the largest run, where that is more than a chunk or a token per stream.
        amx: the processor's AMX unit is there for the engine; else it finds a processor without one.
        precision: for OpenVINO, in place of what it chooses for the processor.
        optimize: for onnxruntime, let it optimize the graph; a prepared graph is optimized already.
        compare_tokens: also return greedy tokens, to be compared with another engine's.
    """

    engine: str
    model: str
    vocab: int
    graph: str = ""
    threads: int = 2
    decode_streams: tuple[int, ...] = ()
    prefill_tokens: tuple[int, ...] = ()
    prompt_tokens: int = 64
    decode_tokens: int = 440
    decode_seconds: float = 3.0
    repeats: int = 5
    chunk: int = 256
    run_tokens: int = 0
    seed: int = 0
    compare_tokens: bool = False
    amx: bool = True
    precision: str = ""
    optimize: bool = True

    @property
    def context(self) -> int:
        """Positions that one stream needs, rounded up to 64."""
        longest = max((self.prompt_tokens + self.decode_tokens, *self.prefill_tokens)) + 1
        return -(-longest // 64) * 64

    @property
    def largest_run(self) -> int:
        """Tokens of the largest run, by which an attention kernel is chosen."""
        return max(self.run_tokens, self.chunk, self.most_streams)

    @property
    def most_streams(self) -> int:
        """Rows that the engine needs."""
        return max((4 if self.compare_tokens else 1, *self.decode_streams))


def write(job: Job, path: Path) -> None:
    """Store the job as JSON."""
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")


def read(path: Path) -> Job:
    """Read what `write` stored."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in ("decode_streams", "prefill_tokens"):
        fields[name] = tuple(fields[name])
    return Job(**fields)
