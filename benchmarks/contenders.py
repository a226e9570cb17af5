"""Who runs in the race: an engine with a form of the model."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import assets
from benchmarks.job import Job
from benchmarks.process import run_job
from benchmarks.settings import Settings
from benchmarks.store import Result


@dataclass(frozen=True)
class Contender:
    """One column of the tables.

    Attributes:
        engine: see `worker.ENGINES`.
        kind: see `assets.need`.
        prepared: load the graph as prepared for this host.
    """

    name: str
    engine: str
    kind: str
    prepared: bool = False

    @property
    def key(self) -> str:
        """Name of its folder in the store."""
        return self.kind

    def job(self, settings: Settings, shape: str) -> Job:
        """Return a job without workloads, its models made."""
        graph = ""
        if self.prepared:
            graph = str(assets.need(settings, shape, f"prepared-{self.kind}") / "model.onnx")
        model = str(assets.need(settings, shape, self.kind))
        return Job(self.engine, model, settings.vocab(shape), graph=graph, threads=settings.threads)

    def run(self, settings: Settings, job: Job) -> Result:
        """Run a job in this contender's process."""
        theirs = self.engine in ("llama.cpp", "openvino")
        return run_job(settings.peers_python if theirs else settings.python, job)


GROUPS = Contender("autoglmd, groups of 64", "onnx", "groups64-kv32", prepared=True)
PER_TOKEN = Contender("autoglmd, W8A8", "onnx", "per-token-kv32", prepared=True)
PER_TOKEN_KV8 = Contender("autoglmd, W8A8, INT8 KV", "onnx", "per-token-kv8", prepared=True)
LLAMA_CPP = Contender("llama.cpp, Q8_0", "llama.cpp", "gguf")
OPENVINO = Contender("OpenVINO GenAI, INT8", "openvino", "openvino")
REFERENCE = Contender("transformers, FP32", "reference", "checkpoint")

OURS = (GROUPS, PER_TOKEN)
"""The two schemes; their KV cache is FP32."""
RACERS = (*OURS, PER_TOKEN_KV8)
"""Ours in the race."""
PEERS = (LLAMA_CPP, OPENVINO)
RACE = (GROUPS, LLAMA_CPP, PER_TOKEN, OPENVINO, PER_TOKEN_KV8)
"""In the order in which they take turns."""
COLUMNS = (*RACERS, *PEERS)
"""In the order of the tables."""
