"""What a build measured: values, a table for people, and JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

REPORT_JSON, REPORT_MARKDOWN = "build_report.json", "build_report.md"


@dataclass(frozen=True)
class Cost:
    """What one graph costs to keep and to run on this machine."""

    size_bytes: int
    load_seconds: float | None = None
    resident_bytes: int | None = None
    """Growth of the process's resident memory by loading and one run."""
    prefill_tokens: int | None = None
    """One window of the calibration text, or what of it leaves room in the context."""
    prefill_seconds: float | None = None
    """Median, for those tokens."""
    decode_seconds: float | None = None
    """Median, one token behind them."""
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    """One row."""
    decode_8_rows_tokens_per_second: float | None = None
    """Of eight rows together."""
    perplexity: float | None = None
    """On the calibration text."""


@dataclass(frozen=True)
class Agreement:
    """How near the built model is to FP32, over every position of the calibration text."""

    positions: int
    logit_error_mean: float
    """Mean absolute difference."""
    logit_error_max: float
    logit_error_relative: float
    """Root mean square of the difference over that of the FP32 logits (centred per position)."""
    greedy_agreement: float
    """Fraction of positions where both find the same most probable token."""
    divergence: float
    """Mean Kullback-Leibler divergence from FP32's distribution, nats."""


@dataclass(frozen=True)
class Candidate:
    """One of the forms that were built and measured, to choose between."""

    scheme: str
    cost: Cost
    agreement: Agreement
    batch_invariant: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildReport:
    """The result of one build."""

    precision: str
    scheme: str
    """The scheme that was built or, of several, chosen."""
    group_size: int
    kv: str
    built: Cost
    float32: Cost
    agreement: Agreement | None = None
    batch_invariant: bool | None = None
    """Whether rows gave bit-identical logits alone and in company, on the machine that built."""
    export_difference: float | None = None
    """Relative error of the float graph's logits against transformers, which nothing of INT8 is part of."""
    notes: tuple[str, ...] = ()
    choice: str = ""
    """Which candidate was taken and why, in a sentence; empty where there was nothing to choose."""
    candidates: tuple[Candidate, ...] = ()
    """Those there were to choose between; `built`, `agreement` and the notes above are those of the one taken."""

    def with_notes(self, notes: tuple[str, ...]) -> BuildReport:
        """Return the report with `notes` added."""
        return replace(self, notes=self.notes + notes)


def write_report(report: BuildReport, folder: Path) -> None:
    """Write build_report.json and build_report.md into `folder`."""
    content = json.dumps(asdict(report), indent=2, ensure_ascii=False)
    (folder / REPORT_JSON).write_text(content + "\n", encoding="utf-8")
    (folder / REPORT_MARKDOWN).write_text(to_markdown(report), encoding="utf-8")


def to_markdown(report: BuildReport) -> str:
    """Render the report as Markdown: what was built and why, what it costs, how near it is to FP32, what to know."""
    lines = [f"# Build report: {describe(report)}", ""]
    lines += [f"Chosen: {report.choice}", ""] if report.choice else []
    lines += _cost_table(report)
    columns = _columns(report)
    if any(column.agreement for column in columns):
        lines += ["", *_agreement_table(columns)]
    if report.export_difference is not None:
        lines += ["", f"The FP32 graph's logits against transformers': {report.export_difference:.1e} relative."]
    several = len(columns) > 1
    invariant = "; ".join(
        (f"{column.heading}: " if several else "") + _INVARIANT[column.batch_invariant] for column in columns
    )
    lines += ["", f"Rows independent of their batch on the machine that built: {invariant}."]
    lines += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def describe(report: BuildReport) -> str:
    """Return what was built in a few words: `int8 weights (groups of 64), int8 KV cache`."""
    weights = f"{report.precision} weights"
    if report.precision == "int8":
        weights += f" ({report.scheme}" + (f" of {report.group_size})" if report.scheme == "groups" else ")")
    return f"{weights}, {report.kv} KV cache"


_INVARIANT = {True: "yes, bit for bit", False: "no", None: "not measured"}


@dataclass(frozen=True)
class _Column:
    """One form of the model in the tables."""

    heading: str
    cost: Cost
    agreement: Agreement | None
    batch_invariant: bool | None


def _columns(report: BuildReport) -> list[_Column]:
    """Return what was built; of several, each, the one taken marked."""
    if not report.candidates:
        return [_Column("built", report.built, report.agreement, report.batch_invariant)]
    return [
        _Column(
            f"{each.scheme} (chosen)" if each.scheme == report.scheme else each.scheme,
            each.cost,
            each.agreement,
            each.batch_invariant,
        )
        for each in report.candidates
    ]


def _cost_table(report: BuildReport) -> list[str]:
    columns = _columns(report)
    rows = (
        ("size, MB", "size_bytes", 1e-6),
        ("load, s", "load_seconds", 1.0),
        ("peak memory of loading and running, MB", "resident_bytes", 1e-6),
        (f"prefill of {report.built.prefill_tokens} tokens, ms", "prefill_seconds", 1e3),
        ("one decode step, ms", "decode_seconds", 1e3),
        ("prefill, tokens/s", "prefill_tokens_per_second", 1.0),
        ("decode, tokens/s", "decode_tokens_per_second", 1.0),
        ("decode of 8 rows, tokens/s", "decode_8_rows_tokens_per_second", 1.0),
        ("perplexity on the calibration text", "perplexity", 1.0),
    )
    lines = _heading("", ["FP32", *(column.heading for column in columns)])
    for title, field, factor in rows:
        values = [getattr(cost, field) for cost in (report.float32, *(column.cost for column in columns))]
        if any(value is not None for value in values):
            lines.append(_row(title, ["-" if value is None else _number(value * factor) for value in values]))
    return lines


def _agreement_table(columns: list[_Column]) -> list[str]:
    all_of = [(column.heading, column.agreement) for column in columns if column.agreement]
    rows = (
        ("mean absolute logit error", "logit_error_mean", 1.0, ""),
        ("largest logit error", "logit_error_max", 1.0, ""),
        ("relative logit error (root mean square)", "logit_error_relative", 100.0, " %"),
        ("same most probable token", "greedy_agreement", 100.0, " %"),
        ("Kullback-Leibler divergence, nats", "divergence", 1.0, ""),
    )
    title = f"agreement with FP32, over {all_of[0][1].positions} positions"
    lines = _heading(title, [heading for heading, _ in all_of])
    for name, field, factor, unit in rows:
        values = [factor * getattr(agreement, field) for _, agreement in all_of]
        lines.append(_row(name, [f"{value:.2f}{unit}" if unit else _number(value) for value in values]))
    return lines


def _heading(title: str, columns: list[str]) -> list[str]:
    return [_row(title, columns), "|" + "---|" * (len(columns) + 1)]


def _row(title: str, cells: list[str]) -> str:
    return "| " + " | ".join((title, *cells)) + " |"


def _number(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"
