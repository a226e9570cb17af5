"""Models as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from autoglmctl.quantities import byte_count

if TYPE_CHECKING:
    from openglm import ModelInfo

_STYLES = {"ready": "green", "loading": "yellow", "preparing": "yellow", "failed": "red"}
_USUAL_PROVIDER = "CPUExecutionProvider"


def model_overview(models: Iterable[ModelInfo]) -> Iterator[Any]:
    """One row per model that is on the box, a star at the default one; below, a line per thing out of the ordinary."""
    models = tuple(models)
    here = [model for model in models if model.state != "absent"]
    if here:
        yield _model_table(here)
    for model in models:
        if note := _note(model):
            yield note


def columns(title: str, *headings: str) -> Table:
    """An empty table that fits a screen of 80 columns: names to the left, all else to the right.

    A name that is too long goes on in the next line; nothing is ever cut.
    """
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    name, *rest = headings
    table.add_column(name, overflow="fold")
    for heading in rest:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _model_table(models: Iterable[ModelInfo]) -> Table:
    table = columns("Models", "model", "state", "weights/KV", "size", "context", "rows")
    for model in models:
        known = bool(model.weights_bytes)
        table.add_row(
            _marked(model),
            Text(model.state, style=_STYLES.get(model.state, "")),
            f"{model.precision}/{model.kv_precision}" if known else "-",
            byte_count(model.weights_bytes) if known else "-",
            str(model.context_tokens) if known else "-",
            str(model.rows) if known else "-",
        )
    return table


def _note(model: ModelInfo) -> str:
    """What the table has no column for; empty if there is nothing to say."""
    if model.state == "absent":
        # The first sentence names the place; the rest is advice, for `model inspect`.
        return f"{_marked(model)}: not on this box ({model.path or model.detail.partition('. ')[0]})"
    facts = [model.detail, model.fallback]
    if model.provider not in ("", _USUAL_PROVIDER):
        facts.insert(0, f"on {model.provider}")
    said = "; ".join(filter(None, facts))
    return f"{_marked(model)}: {said}" if said else ""


def _marked(model: ModelInfo) -> str:
    return f"{model.name} *" if model.is_default else model.name


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
