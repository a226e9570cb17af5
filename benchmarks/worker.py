"""One engine in a process of its own: `python -m benchmarks.worker JOB.json RESULT.json`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from autoglmd.host.amx import amx_is_lent, amx_withheld
from benchmarks import job as jobs
from benchmarks.engines.base import Engine, greedy_tokens, measure
from benchmarks.job import Job

ENGINES = {
    "onnx": ("benchmarks.engines.onnx_loop", "OnnxLoop"),
    "onnx-copying": ("benchmarks.engines.onnx_copying", "OnnxCopying"),
    "llama.cpp": ("benchmarks.engines.llama_cpp", "LlamaCpp"),
    "reference": ("benchmarks.engines.reference", "Reference"),
    "openvino": ("benchmarks.engines.openvino_genai", "OpenVino"),
}
"""Modules are named, not imported: no process holds the libraries of another engine."""


def load(job: Job) -> Engine:
    """Load the job's engine with its model."""
    module, name = ENGINES[job.engine]
    engine: Engine = getattr(importlib.import_module(module), name)(job)
    return engine


def main() -> None:
    """Run the job and write its figures and facts."""
    job_file, result_file = (Path(argument) for argument in sys.argv[1:3])
    job = jobs.read(job_file)
    # An engine may ask for AMX at its import, or as late as at its first product.
    with amx_withheld(unless=job.amx):
        result = run(job)
    result["facts"]["AMX"] = "lent" if amx_is_lent() else "not lent"
    result_file.write_text(json.dumps(result, indent=1), encoding="utf-8")


def run(job: Job) -> dict[str, Any]:
    """Load the job's engine and return its figures and facts."""
    start = time.perf_counter()
    engine = load(job)
    loaded = time.perf_counter() - start
    tokens = greedy_tokens(engine, job) if job.compare_tokens else []
    figures = measure(engine, job).as_result()
    return {**figures, "facts": engine.facts(), "load_seconds": loaded, "tokens": tokens}


if __name__ == "__main__":
    main()
