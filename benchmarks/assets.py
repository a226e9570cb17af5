"""The models under measurement: a checkpoint per shape and every engine's form of it, made once.

python -m benchmarks.assets KIND SOURCE TARGET
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.process import ROOT
from benchmarks.settings import GLM_SMALL, GLM_SMALL_CHECKPOINT, Settings

PEERS = ("gguf", "openvino")
"""Kinds that the peers' interpreter makes."""


def path(settings: Settings, shape: str, kind: str) -> Path:
    """Return where a shape's model of one kind lies (made or not)."""
    if kind.startswith("prepared-"):
        return settings.state / "prepared" / f"{shape}-{kind.removeprefix('prepared-')}"
    if (shape, kind) == (GLM_SMALL, "checkpoint"):
        return GLM_SMALL_CHECKPOINT
    suffix = ".gguf" if kind == "gguf" else ""
    return settings.models / f"{shape}-{kind}{suffix}"


def need(settings: Settings, shape: str, kind: str) -> Path:
    """Return a shape's model of one kind.

    Kinds: checkpoint, gguf, openvino, unfused, those of `onnx_folder.KINDS`, and prepared-KIND. It is made in a process
    of its own if it is not there; half-made ones are never mistaken for whole ones. A prepared one that the daemon
    would not take, because its model or this host's software has changed since, is made again.
    """
    target = path(settings, shape, kind).resolve()
    if target.exists() and not kind.startswith("prepared-"):
        return target
    source = _source(settings, shape, kind)
    if kind.startswith("prepared-") and _fits(Path(source), target):
        return target
    _remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    _remove(partial)
    python = settings.peers_python if kind in PEERS else settings.python
    print(f"making {target.name} ...", flush=True)
    command = [python, "-W", "ignore", "-m", "benchmarks.assets", kind, str(source), str(partial)]
    with target.with_name(f"{target.name}.log").open("w", encoding="utf-8") as log:
        subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log)
    partial.rename(target)
    return target


def _source(settings: Settings, shape: str, kind: str) -> str | Path:
    if kind == "checkpoint":
        return shape
    if kind.startswith("prepared-"):
        return need(settings, shape, kind.removeprefix("prepared-"))
    if kind == "unfused":
        return need(settings, shape, "fp32")
    return need(settings, shape, "checkpoint")


def _fits(bundle: Path, prepared: Path) -> bool:
    from autoglmd.host.amx import amx_withheld
    from autoglmd.model.bundle import read_bundle
    from autoglmd.model.device import CPU

    with amx_withheld():
        # The copy is for processes without AMX; this one must be one of them.
        from autoglmd.model.prepare import find_prepared

    return find_prepared(read_bundle(bundle), prepared, (CPU,)) is not None


def _remove(made: Path) -> None:
    if made.is_dir():
        shutil.rmtree(made)
    else:
        made.unlink(missing_ok=True)


def _make_checkpoint(shape: str, target: Path) -> None:
    from benchmarks.checkpoints import SHAPES, make_checkpoint

    make_checkpoint(SHAPES[shape], target)


def _make_gguf(source: str, target: Path) -> None:
    from benchmarks.convert.gguf_file import convert

    convert(Path(source), target)


def _make_openvino(source: str, target: Path) -> None:
    from benchmarks.convert.openvino_ir import convert

    convert(Path(source), target)


def _make_prepared(source: str, target: Path) -> None:
    from benchmarks.convert.onnx_folder import prepare

    prepare(Path(source), target)


def _make_unfused(source: str, target: Path) -> None:
    from benchmarks.convert.unfused import convert

    convert(Path(source), target)


def _make_build(kind: str) -> Callable[[str, Path], None]:
    def make(source: str, target: Path) -> None:
        from benchmarks.convert.onnx_folder import build

        build(Path(source), target, kind)

    return make


MAKERS = {
    "checkpoint": _make_checkpoint,
    "gguf": _make_gguf,
    "openvino": _make_openvino,
    "unfused": _make_unfused,
}


def maker(kind: str) -> Callable[[str, Path], None]:
    """Return what makes a kind of model from its source."""
    if kind.startswith("prepared-"):
        return _make_prepared
    return MAKERS.get(kind) or _make_build(kind)


def main() -> None:
    """Make one model in this process."""
    kind, source, target = sys.argv[1:4]
    maker(kind)(source, Path(target))


if __name__ == "__main__":
    main()
