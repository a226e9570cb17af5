"""Who runs in the race: an engine with a form of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks import assets, served
from benchmarks.job import Job
from benchmarks.process import run_job
from benchmarks.settings import Settings
from benchmarks.store import Result

SERVED = "autoglmd"
"""The engine that is the daemon itself."""


@dataclass(frozen=True)
class Contender:
    """One column of the tables.

    Attributes:
        name: the column's heading: who computes, and with which build.
        engine: see `worker.ENGINES`; or `SERVED`.
        kind: see `assets.need`.
        prepared: load the graph as prepared for this host.
        precision: see `Job`.
        amx: see `Job`. Ours go without, as the daemon does by default.
        build: weights and KV cache alone, for tables in which only the daemon computes.
    """

    name: str
    engine: str
    kind: str
    prepared: bool = False
    build: str = ""
    amx: bool = False
    precision: str = ""

    @property
    def key(self) -> str:
        """Name of its folder in the store."""
        # What is unusual is named: AMX with ours, its absence with a peer.
        amx = "" if self.amx != self.ours else "amx" if self.amx else "no-amx"
        return "-".join(filter(None, ("daemon" if self.engine == SERVED else "", self.kind, amx, self.precision)))

    @property
    def ours(self) -> bool:
        """Whether its figures depend on our sources."""
        return self.engine == SERVED or self.engine.startswith("onnx")

    def job(self, settings: Settings, shape: str) -> Job:
        """Return a job without workloads, its models made."""
        graph = ""
        if self.prepared:
            graph = str(assets.need(settings, shape, f"prepared-{self.kind}") / "model.onnx")
        model = str(assets.need(settings, shape, self.kind))
        job = Job(self.engine, model, settings.vocab(shape), graph=graph, threads=settings.threads)
        return replace(job, amx=self.amx, precision=self.precision)

    def run(self, settings: Settings, job: Job) -> Result:
        """Run a job in this contender's process."""
        if self.engine == SERVED:
            return served.run(settings, job)
        theirs = self in PEERS
        return run_job(settings.peers_python if theirs else settings.python, job)


def _loop(build: str, kind: str) -> Contender:
    """The raw onnxruntime loop: what a build can do without the daemon around it."""
    return Contender(f"onnxruntime loop, {build}", "onnx", kind, prepared=True, build=build)


def _served(loop: Contender, amx: bool = False) -> Contender:
    """The daemon itself, with the build of a raw loop."""
    name = f"autoglmd through gRPC, {loop.build}" + (", amx = true" if amx else "")
    return Contender(name, SERVED, loop.kind, True, loop.build, amx)


GROUPS = _loop("groups of 64, FP32 KV", "groups64-kv32")
GROUPS_KV8 = _loop("groups of 64, INT8 KV", "groups64-kv8")
PER_TOKEN = _loop("W8A8, FP32 KV", "per-token-kv32")
PER_TOKEN_KV8 = _loop("W8A8, INT8 KV", "per-token-kv8")
DAEMON = _served(PER_TOKEN_KV8)
DAEMON_AMX = _served(PER_TOKEN_KV8, amx=True)
DAEMON_GROUPS = _served(GROUPS_KV8)
LLAMA_CPP = Contender("llama.cpp, Q8_0", "llama.cpp", "gguf", amx=True)
LLAMA_CPP_AMX_OFF = Contender("llama.cpp, Q8_0, no AMX", "llama.cpp", "gguf")
OPENVINO = Contender("OpenVINO GenAI, INT8", "openvino", "openvino", amx=True)
OPENVINO_AMX_OFF = Contender("OpenVINO GenAI, INT8, no AMX, f32", "openvino", "openvino", precision="f32")
"""Where a processor has bfloat16 instructions OpenVINO computes in bf16 around its INT8 products, which is slow without
AMX; f32 is what it takes on processors that have neither."""
REFERENCE = Contender("transformers, FP32", "reference", "checkpoint", amx=True)

SCHEMES = (GROUPS_KV8, PER_TOKEN_KV8)
"""Both schemes with an INT8 KV cache, for the experiments that have no peers."""
RACERS = (DAEMON, DAEMON_AMX, DAEMON_GROUPS)
"""Ours in the race."""
PEERS = (LLAMA_CPP, OPENVINO, LLAMA_CPP_AMX_OFF, OPENVINO_AMX_OFF)
RACE = (DAEMON, LLAMA_CPP, DAEMON_AMX, OPENVINO_AMX_OFF, DAEMON_GROUPS, OPENVINO, LLAMA_CPP_AMX_OFF)
"""In the order in which they take their first turns."""
COLUMNS = (*RACERS, *PEERS)
"""In the order of the tables."""
