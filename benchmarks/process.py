"""Runs each measurement in a process of its own, so that no engine finds another's memory or threads."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import job as jobs
from benchmarks.job import Job

ROOT = Path(__file__).resolve().parents[1]


class MeasurementError(Exception):
    """A measuring process failed; its last words are the message."""


def run_module(python: str, module: str, arguments: Sequence[str], threads: int) -> dict[str, Any]:
    """Run `python -m module ARGUMENTS RESULT.json` and return what it wrote.

    Raises:
        MeasurementError: it did not end well.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [python, "-W", "ignore", "-m", module, *arguments, str(result)]
        done = subprocess.run(command, cwd=ROOT, env=_environment(threads), capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeasurementError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return values


def run_job(python: str, job: Job) -> dict[str, Any]:
    """Run one engine's job; see `worker`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        jobs.write(job, file)
        return run_module(python, "benchmarks.worker", [str(file)], job.threads)


def _environment(threads: int) -> dict[str, str]:
    """OpenMP's default for whoever uses it; nothing is looked up on the network; the peers' Python finds `autoglmd`."""
    fixed = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    fixed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT / "daemon"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **fixed}
