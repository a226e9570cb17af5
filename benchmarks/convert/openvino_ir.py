"""A Hugging Face checkpoint as OpenVINO IR with INT8 weights, by optimum-intel's own command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint folder `source` into the folder `target`; INT8 per output channel, the tool's default.

    Raises:
        subprocess.CalledProcessError: the export failed; its own words are on standard error.
    """
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "openvino"]
    task = ["--task", "text-generation-with-past", "--weight-format", "int8"]
    subprocess.run([*command, "--model", str(source), *task, str(target)], check=True)
