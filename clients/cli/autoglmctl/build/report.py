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
    prefill_seconds: float | None = None
    """Median, one window of tokens."""
    decode_seconds: float | None = None
    """Median, one token after that window."""
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
class BuildReport:
    """The result of one build."""

    precision: str
    scheme: str
    group_size: int
    kv: str
    built: Cost
    float32: Cost
    agreement: Agreement | None = None
    batch_invariant: bool | None = None
    """Whether rows gave bit-identical logits alone and in company, on the machine that built."""
    export_difference: float | None = None
    """Relative error of the float graph's logits against transformers, which nothing of INT8 is part of."""
    window_tokens: int = 0
    notes: tuple[str, ...] = ()

    def with_notes(self, notes: tuple[str, ...]) -> BuildReport:
        """Return the report with `notes` added."""
        return replace(self, notes=self.notes + notes)


def write_report(report: BuildReport, folder: Path) -> None:
    """Write build_report.json and build_report.md into `folder`."""
    content = json.dumps(asdict(report), indent=2, ensure_ascii=False)
    (folder / REPORT_JSON).write_text(content + "\n", encoding="utf-8")
    (folder / REPORT_MARKDOWN).write_text(to_markdown(report), encoding="utf-8")


def to_markdown(report: BuildReport) -> str:
    """Render the report as Markdown: what was built, what it costs, how near it is to FP32, what to know."""
    weights = f"{report.precision} weights"
    if report.precision == "int8":
        weights += f" ({report.scheme}" + (f" of {report.group_size})" if report.scheme == "groups" else ")")
    lines = [f"# Build report: {weights}, {report.kv} KV cache", "", *_cost_table(report)]
    if report.agreement:
        lines += ["", *_agreement_table(report.agreement)]
    invariant = {True: "yes, bit for bit", False: "no", None: "not measured"}[report.batch_invariant]
    if report.export_difference is not None:
        lines += ["", f"The FP32 graph's logits against transformers': {report.export_difference:.1e} relative."]
    lines += ["", f"Rows independent of their batch on the machine that built: {invariant}."]
    lines += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def _cost_table(report: BuildReport) -> list[str]:
    rows = (
        ("size, MB", "size_bytes", 1e-6),
        ("load, s", "load_seconds", 1.0),
        ("peak memory of loading and running, MB", "resident_bytes", 1e-6),
        (f"prefill of {report.window_tokens} tokens, ms", "prefill_seconds", 1e3),
        ("one decode step, ms", "decode_seconds", 1e3),
        ("perplexity on the calibration text", "perplexity", 1.0),
    )
    lines = ["| | FP32 | built |", "|---|---|---|"]
    for title, field, factor in rows:
        values = [getattr(cost, field) for cost in (report.float32, report.built)]
        if None not in values:
            lines.append(f"| {title} | " + " | ".join(_number(value * factor) for value in values) + " |")
    return lines


def _agreement_table(agreement: Agreement) -> list[str]:
    return [
        f"| agreement with FP32, over {agreement.positions} positions | |",
        "|---|---|",
        f"| mean absolute logit error | {_number(agreement.logit_error_mean)} |",
        f"| largest logit error | {_number(agreement.logit_error_max)} |",
        f"| relative logit error (root mean square) | {100 * agreement.logit_error_relative:.2f} % |",
        f"| same most probable token | {100 * agreement.greedy_agreement:.2f} % |",
        f"| Kullback-Leibler divergence, nats | {_number(agreement.divergence)} |",
    ]


def _number(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"
