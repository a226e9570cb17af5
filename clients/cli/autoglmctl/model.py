"""autoglmctl model: list and inspect what is served; inspect, build and prepare what is on disk."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from autoglmctl import bundle_facts
from autoglmctl.build.options import (
    BuildOptions,
    CalibrationMethod,
    KvGranularity,
    KvOptions,
    KvPrecision,
    Precision,
    Scheme,
    WeightOptions,
)
from autoglmctl.completion import complete_model
from autoglmctl.invocation import Invocation
from autoglmctl.step_bars import StepBars

_DEFAULTS = BuildOptions(source=Path(), output=Path())


@dataclass(frozen=True)
class Folders:
    """From where to where."""

    source: Annotated[
        Path, typer.Argument(help="A Hugging Face folder: config.json, weights, tokenizer.", metavar="SRC")
    ]
    output: Annotated[Path, typer.Argument(help="The folder to make.", metavar="OUT")]


@dataclass(frozen=True)
class WeightChoices:
    """How the weights are kept and multiplied."""

    precision: Annotated[Precision, typer.Option(help="Of the weights: int8 or fp32.", metavar="KIND")] = (
        _DEFAULTS.weights.precision
    )
    scheme: Annotated[
        Scheme,
        typer.Option(
            help="How INT8 products are computed: groups, per-token, or auto: make both, choose by the figures.",
            metavar="KIND",
        ),
    ] = _DEFAULTS.weights.scheme
    group_size: Annotated[int, typer.Option(help="Weights that share a scale.")] = _DEFAULTS.weights.group_size
    keep_in_groups: Annotated[
        list[str] | None,
        typer.Option(
            help="In the per-token scheme, leave these layers (a pattern) to groups; may be given again.",
            metavar="TEXT",
        ),
    ] = None
    reduce_range: Annotated[
        bool, typer.Option("--reduce-range", help="7-bit weights, for processors without VNNI or dot products.")
    ] = False


@dataclass(frozen=True)
class KvChoices:
    """How the KV cache is kept, and its scales found."""

    kv: Annotated[KvPrecision, typer.Option(help="Precision of the KV cache: int8 or fp32.", metavar="KIND")] = (
        _DEFAULTS.kv.precision
    )
    kv_granularity: Annotated[
        KvGranularity, typer.Option(help="Scales of the KV cache: per-channel or per-tensor.", metavar="KIND")
    ] = _DEFAULTS.kv.granularity
    calibration_method: Annotated[
        CalibrationMethod,
        typer.Option(help="How the KV scales are found: minmax, percentile or entropy.", metavar="KIND"),
    ] = _DEFAULTS.kv.method
    calibration: Annotated[
        Path | None, typer.Option(help="UTF-8 text to calibrate and measure on, instead of ours.", metavar="FILE")
    ] = None


@dataclass(frozen=True)
class BuildChoices:
    """The rest of a build."""

    prune_lm_head: Annotated[bool, typer.Option(help="Compute the logits of one position per row only.")] = True
    context_length: Annotated[
        int | None, typer.Option(help="Longest sequence in tokens; the checkpoint's own without.")
    ] = None
    measure: Annotated[bool, typer.Option(help="Compare with FP32 and report.")] = True
    threads: Annotated[int, typer.Option(help="To calibrate and measure with; 0: one per core.")] = 0


@dataclass(frozen=True)
class PreparedPlace:
    """Where a prepared copy goes."""

    output: Annotated[
        Path | None, typer.Option(help="Where to; without, prepared/NAME of the state folder.", metavar="FOLDER")
    ] = None
    state_dir: Annotated[
        Path | None,
        typer.Option(help="The daemon's, if it was given one; without, where it keeps its state by itself."),
    ] = None
    name: Annotated[str, typer.Option(help="The model's name in the daemon's configuration; the folder's without.")] = (
        ""
    )


def list_models(invocation: Invocation) -> None:
    """List the models that the daemon is configured with."""
    with invocation.client() as client:
        models = client.models()

    def table() -> tuple[Any, ...]:
        from autoglmctl.model_tables import model_overview

        return tuple(model_overview(models))

    invocation.show({"models": models}, table)


def inspect_model(
    invocation: Invocation,
    model: Annotated[
        str,
        typer.Argument(
            help="A served model, or a folder.",
            metavar="NAME_OR_PATH",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show what there is to know of a served model, or of a folder on disk (which needs no daemon)."""
    if "/" in model or Path(model, "genai_config.json").is_file():
        facts = bundle_facts.read(Path(model))
        value: Any = facts
    else:
        with invocation.client() as client:
            value = client.model(model)
        facts = {}

    def table() -> tuple[Any, ...]:
        from autoglmctl.model_tables import facts_table, model_facts

        return (facts_table(model or "default model", bundle_facts.readable(facts) if facts else model_facts(value)),)

    invocation.show(value, table)


def build(
    invocation: Invocation,
    folders: Folders,
    weights: WeightChoices,
    kv: KvChoices,
    rest: BuildChoices,
) -> None:
    """Make a model that the daemon can load.

    It takes the packages of autoglmd's extra `build`: torch, transformers, onnxruntime-genai.
    """
    from autoglmctl.build.build import build_model
    from autoglmctl.build.report import to_markdown

    options = BuildOptions(
        source=folders.source,
        output=folders.output,
        weights=WeightOptions(**asdict(weights) | {"keep_in_groups": tuple(weights.keep_in_groups or ())}),
        kv=KvOptions(kv.kv, kv.kv_granularity, kv.calibration_method, kv.calibration),
        **asdict(rest),
    )
    with StepBars(invocation.terminal) as bars:
        report = build_model(options, bars.show)

    def page() -> tuple[Any, ...]:
        from rich.markdown import Markdown

        chosen = (f"Chosen: {report.choice}",) if report.choice else ()
        return (Markdown(to_markdown(report)), *chosen, f"The model is in {folders.output}.")

    invocation.show({"output": str(folders.output), "report": report}, page)


def prepare(
    invocation: Invocation,
    folder: Annotated[Path, typer.Argument(help="A bundle: genai_config.json, model.onnx, tokenizer.", metavar="DIR")],
    place: PreparedPlace,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or tensorrt.")] = "cpu",
) -> None:
    """Optimize a model for this box: less memory, a faster start. The daemon also does it by itself."""
    from autoglmd.host.amx import amx_withheld
    from autoglmd.host.places import usable_places
    from autoglmd.model.bundle import read_bundle
    from autoglmd.model.device import choose_device

    with amx_withheld():
        # onnxruntime packs by what it is lent at its import. A daemon with amx = true makes a copy of its own.
        from autoglmd.model.ort_runner import available_providers
        from autoglmd.model.prepare import prepare as prepare_bundle

    bundle = read_bundle(folder)
    state = place.state_dir or usable_places(os.environ).state_dir
    target = place.output or state / "prepared" / (place.name or folder.absolute().name)
    choice, fallback = choose_device(device, available_providers())
    with StepBars(invocation.terminal) as bars:
        bars.show("prepare", None)
        prepared = prepare_bundle(bundle, target, choice.providers)
    if fallback:
        invocation.terminal.remark(fallback)
    value = {"folder": str(prepared.folder), "key": asdict(prepared.key)}
    invocation.show(value, lambda: (f"Prepared for this box in {prepared.folder}.",))
