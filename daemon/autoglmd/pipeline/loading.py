"""Loads a configured model: bundle, tokenizer, graph, engine. Takes seconds; run it in a thread."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from autoglmd.config.rooms import ModelConfig
from autoglmd.engine.engine import Engine, limits_of
from autoglmd.engine.sequence import EngineEvent
from autoglmd.errors.base import ConfigError
from autoglmd.errors.model import ModelError
from autoglmd.host.amx import amx_is_lent
from autoglmd.host.clock import Clock
from autoglmd.host.facts import HostFacts, read_facts
from autoglmd.host.files import reading_directory
from autoglmd.host.gpu import gpu_name
from autoglmd.messages.status import ModelInfo, ModelState
from autoglmd.model.bundle import Bundle, read_bundle, resolve_folder, weights_bytes
from autoglmd.model.device import CPU, choose_device
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions, available_providers, onnxruntime_version
from autoglmd.model.prepare import discard_prepared, find_prepared
from autoglmd.model.reduced_range import would_saturate
from autoglmd.model.runner import ModelSpec
from autoglmd.model.self_check import rows_are_independent
from autoglmd.model.tokenizer import load_tokenizer
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.model_preparer import Preparer
from autoglmd.pipeline.prefetch import Prefetcher, PrefetchLimits
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import SessionBook, recalling
from autoglmd.sessions.conversation import ModelMark

log = logging.getLogger(__name__)

_FEWEST_KV_TOKENS = 16
"""As for engine.context_tokens: with less, every request would be refused."""


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What loading needs beside the model's own configuration.

    Attributes:
        past_bytes: of conversations' keys and values that may wait for a row, per model.
        cores: compute threads where the configuration does not say.
        prepared: the folder of prepared copies, one folder per model name.
        tell: called in the thread that loads, when a model is at another stage.
    """

    clock: Clock
    router: Router
    book: SessionBook
    past_bytes: int
    cores: int
    prepared: Path
    preparer: Preparer
    tell: Callable[[str, ModelState], None]


def load_model(name: str, config: ModelConfig, context: LoadContext) -> ServedModel:
    """Load a model and start its engine.

    Raises:
        ModelError: the bundle cannot be used; the message says why and what to do.
        ConfigError: the memory configured for KV holds no request of this model.
        DrainingError: the daemon was asked to stop meanwhile.
    """
    bundle = read_bundle(resolve_folder(config.path))
    tokenizer, template = load_tokenizer(bundle.folder, bundle.vocab_size, bundle.eos_ids)
    runner = _open_runner(name, bundle, config, context)
    if runner.spec.fallback:
        log.warning("%s", runner.spec.fallback, extra={"model": name})
    limits = limits_of(config.engine, runner.spec)
    _check_kv(name, limits.kv_tokens, config.engine.kv_bytes, runner.spec.kv_bytes_per_token)
    rules = PromptRules(
        tokenizer=tokenizer,
        template=template,
        vocab_size=bundle.vocab_size,
        context_tokens=runner.spec.context_tokens,
        kv_tokens=limits.kv_tokens,
        max_tokens=config.engine.max_tokens,
        eos_ids=frozenset(bundle.eos_ids),
        defaults=bundle.defaults,
    )
    info = replace(_describe(name, bundle, runner), batch_invariant=_try_rows(name, runner))
    mark = _mark(name, bundle, runner)
    # A beginning that was computed for one prompt is another's bit for bit only where rows are independent.
    sharing = context.book.sharing(mark) if info.batch_invariant else None
    prefetcher = Prefetcher(
        rules,
        replace(recalling(context.book, mark), sharing=sharing),
        PrefetchLimits(
            config.engine.prefetch_depth,
            config.engine.prefetch_threads,
            context.past_bytes,
            context.book.recall_seconds,
        ),
        name,
    )

    def emit(events: tuple[EngineEvent, ...]) -> None:
        prefetcher.observe(events)
        context.router.deliver(events)

    engine = Engine(name, runner, limits, context.clock, emit)
    engine.start()
    prefetcher.start(engine)
    return ServedModel(info, rules, engine, prefetcher, Line(runner.spec.rows, config.engine.queue_depth), mark)


def _open_runner(name: str, bundle: Bundle, config: ModelConfig, context: LoadContext) -> OrtRunner:
    """From the prepared copy if there is one that loads, else from the bundle as shipped."""
    device, fallback = choose_device(config.device, available_providers())
    shipped = RunnerOptions(
        graph=bundle.graph,
        prepared=False,
        device=device,
        fallback=fallback,
        rows=config.engine.rows,
        context_tokens=config.engine.context_tokens,
        threads=config.engine.threads or context.cores,
        run_tokens=config.engine.prefill_chunk_tokens,
    )
    if config.prepare and device.memory == "cpu":
        folder = (context.prepared / name).resolve()
        context.preparer.ensure(bundle, folder, device.providers, lambda: context.tell(name, ModelState.PREPARING))
        context.tell(name, ModelState.LOADING)
        runner = _open_prepared(bundle, folder, shipped)
        if runner is not None:
            return runner
    if device.memory == "cpu" and would_saturate(bundle.graph, read_facts()):
        log.warning(
            "answers of this model may be wrong: this processor's 8-bit products saturate, and only a prepared copy "
            "has weights for that. Prepare it, or build it with `autoglmctl model build --reduce-range`.",
            extra={"model": name},
        )
    return OrtRunner(bundle, shipped)


def _mark(name: str, bundle: Bundle, runner: OrtRunner) -> ModelMark:
    spec = runner.spec
    gpu = "" if spec.provider == CPU else gpu_name()
    layout = f"{runner.kv_layout}; {runtime_of(spec, read_facts(), gpu)}"
    return ModelMark(name, bundle.version, bundle.tokenizer_digest, layout, spec.kv_bytes_per_token)


def runtime_of(spec: ModelSpec, facts: HostFacts, gpu: str) -> str:
    """What decides of the last bit of a key or value, beside the model: whatever kernels are chosen by."""
    device = f"{spec.provider} {gpu}".rstrip()
    processor = f"{facts.machine} {facts.features_digest}"
    lent = f"AMX {amx_is_lent()}, prepared {spec.prepared}"
    return f"onnxruntime {onnxruntime_version()}, {device}, processor {processor}, {lent}"


def _check_kv(name: str, tokens: int, kv_bytes: int, bytes_per_token: int) -> None:
    if kv_bytes and tokens < _FEWEST_KV_TOKENS:
        raise ConfigError(
            f"engine.kv_bytes = {kv_bytes} holds {tokens} tokens of {name}, which takes {bytes_per_token} bytes each. "
            f"Set {_FEWEST_KV_TOKENS * bytes_per_token} at least, or 0 for all rows."
        )


def _try_rows(name: str, runner: OrtRunner) -> bool:
    independent = rows_are_independent(runner)
    runner.rest()
    if not independent:
        log.warning(
            "answers of this model depend on its neighbours: this processor computes one row otherwise than several. "
            "Build it with `autoglmctl model build` and its default group size to change that.",
            extra={"model": name},
        )
    return independent


def _open_prepared(bundle: Bundle, folder: Path, options: RunnerOptions) -> OrtRunner | None:
    with reading_directory(folder):
        found = find_prepared(bundle, folder, options.device.providers)
        if found is None:
            return None
        try:
            return OrtRunner(bundle, replace(options, graph=found.graph, prepared=True))
        except ModelError as error:
            # Keeping it would mean the same at every start.
            log.warning("the prepared copy does not load and is removed: %s", error.message)
    discard_prepared(folder)
    return None


def _describe(name: str, bundle: Bundle, runner: OrtRunner) -> ModelInfo:
    spec = runner.spec
    return ModelInfo(
        name=name,
        state=ModelState.READY,
        version=bundle.version,
        architecture=bundle.architecture,
        path=str(bundle.folder),
        weights_bytes=weights_bytes(bundle.graph),
        precision=spec.precision,
        kv_precision=spec.kv_precision,
        context_tokens=spec.context_tokens,
        rows=spec.rows,
        vocab_size=spec.vocab_size,
        layers=spec.layers,
        kv_bytes_per_token=spec.kv_bytes_per_token,
        provider=spec.provider,
        fallback=spec.fallback,
        prepared=spec.prepared,
    )
