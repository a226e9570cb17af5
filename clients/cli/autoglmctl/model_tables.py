"""Models as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from autoglmctl.quantities import byte_count

if TYPE_CHECKING:
    from openglm import ModelInfo

_STYLES = {"ready": "green", "loading": "yellow", "failed": "red", "absent": "dim"}


def model_table(models: Iterable[ModelInfo]) -> Table:
    """One row per configured model; a star marks the default one."""
    table = Table("model", "state", "version", "weights", "KV", title="Models", title_justify="left")
    for heading in ("size", "context", "rows"):
        table.add_column(heading, justify="right")
    table.add_column("provider")
    for model in models:
        known = bool(model.weights_bytes)
        table.add_row(
            f"{model.name}{' *' if model.is_default else ''}",
            Text(model.state, style=_STYLES.get(model.state, "")),
            model.version or "-",
            model.precision or "-",
            model.kv_precision or "-",
            byte_count(model.weights_bytes) if known else "-",
            str(model.context_tokens) if known else "-",
            str(model.rows) if known else "-",
            model.provider or model.detail or "-",
        )
    return table


def facts_table(title: str, facts: Mapping[str, object]) -> Table:
    """One row per fact; what is empty is left out."""
    table = Table(title=title or None, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value not in ("", None):
            table.add_row(name, str(value))
    return table


def model_facts(model: ModelInfo) -> dict[str, object]:
    """What there is to know of a served model."""
    return {
        "name": model.name,
        "default": "yes" if model.is_default else "no",
        "state": model.state,
        "detail": model.detail,
        "version": model.version,
        "architecture": model.architecture,
        "path": model.path,
        "weights": f"{model.precision}, {byte_count(model.weights_bytes)}" if model.weights_bytes else "",
        "KV cache": f"{model.kv_precision}, {byte_count(model.kv_bytes_per_token)} per token"
        if model.kv_bytes_per_token
        else "",
        "context": f"{model.context_tokens} tokens" if model.context_tokens else "",
        "rows": model.rows or "",
        "vocabulary": model.vocab_size or "",
        "layers": model.layers or "",
        "provider": model.provider,
        "fall-back": model.fallback,
        "prepared": "yes" if model.prepared else "no",
        "batch-invariant": "yes" if model.batch_invariant else "no",
    }
