"""The tiny models in tests/fixtures, and copies of them that a test may break."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import CPU, DeviceChoice
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions
from autoglmd.model.tokenizer import Tokenizer, load_tokenizer

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "models"
TINY_MODELS = ("tiny-fp32", "tiny-int8", "tiny-per-token", "tiny-unpruned", "tiny-last-column")
VOCABULARY = 512
CONTEXT_TOKENS = 512


def tokenizer_of(name: str) -> Tokenizer:
    """A tiny model's tokenizer."""
    return load_tokenizer(FOLDER / name, VOCABULARY)[0]


def copy_bundle(name: str, target: Path) -> Path:
    """A copy of a tiny model. Returns its folder."""
    return Path(shutil.copytree(FOLDER / name, target))


def edit_json(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content), "utf-8")


def open_runner(
    folder: Path, rows: int = 4, context_tokens: int = CONTEXT_TOKENS, threads: int = 1, run_tokens: int = 256
) -> OrtRunner:
    """A runner on the CPU."""
    bundle = read_bundle(folder)
    device = DeviceChoice("cpu", (CPU,))
    return OrtRunner(bundle, RunnerOptions(bundle.graph, False, device, "", rows, context_tokens, threads, run_tokens))
