"""What a model's folder says of itself, read from disk without a daemon."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoglmctl.quantities import byte_count

REPORT = "build_report.json"


def read(folder: Path) -> dict[str, Any]:
    """The bundle's checked configuration, the size of its weights, and its build report if it has one.

    Raises:
        ModelMissingError, ModelCorruptError: it is not a bundle, or its graph or weights are not whole.
    """
    from autoglmd.model.bundle import read_bundle, weights_bytes

    bundle = read_bundle(folder)
    _check_graph(bundle.graph)
    return {
        "folder": str(bundle.folder),
        "version": bundle.version,
        "architecture": bundle.architecture,
        "weights_bytes": weights_bytes(bundle.graph),
        "context_tokens": bundle.context_tokens,
        "vocab_size": bundle.vocab_size,
        "layers": bundle.layers,
        "kv_heads": bundle.kv_heads,
        "head_size": bundle.head_size,
        "eos_ids": bundle.eos_ids,
        "defaults": {name: value for name, value in asdict(bundle.defaults).items() if value is not None},
        "build_report": _report(folder),
    }


def readable(facts: Mapping[str, Any]) -> dict[str, object]:
    """The same for a table."""
    report = facts["build_report"] or {}
    built = ", ".join(str(report[name]) for name in ("precision", "scheme") if name in report)
    return {
        "folder": facts["folder"],
        "version": facts["version"],
        "architecture": facts["architecture"],
        "weights": byte_count(facts["weights_bytes"]) + (f" ({built})" if built else ""),
        "KV cache": f"{report['kv']}" if "kv" in report else "",
        "context": f"{facts['context_tokens']} tokens",
        "vocabulary": facts["vocab_size"],
        "layers": facts["layers"],
        "KV heads": f"{facts['kv_heads']}, of {facts['head_size']} dimensions",
        "end of text": ", ".join(map(str, facts["eos_ids"])),
        "graph": "its weights are all there; whether it computes, autoglmd serve finds out",
        "generation defaults": ", ".join(f"{name} {value}" for name, value in facts["defaults"].items()),
    } | _agreement(report)


def _check_graph(graph: Path) -> None:
    """Raise ModelCorruptError where the graph is none, or where its weights' files are shorter than it needs."""
    from autoglmd.errors.model import ModelCorruptError
    from autoglmd.model.onnx_file import read_graph, shortage

    content = read_graph(graph)
    if not content.operators:
        raise ModelCorruptError(f"{graph} holds no graph. Copy the model again.")
    if short := shortage(content, graph.parent):
        raise ModelCorruptError(f"{short} Copy the model again.")


def _agreement(report: Mapping[str, Any]) -> dict[str, object]:
    agreement = report.get("agreement") or {}
    if "greedy_agreement" not in agreement:
        return {}
    share = 100 * agreement["greedy_agreement"]
    return {"same greedy token as FP32": f"{share:.2f} % of {agreement['positions']} positions"}


def _report(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / REPORT).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
