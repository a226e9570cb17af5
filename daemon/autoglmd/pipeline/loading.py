"""Loads a configured model: bundle, tokenizer, graph, engine. Takes seconds; run it in a thread."""

import logging
from dataclasses import dataclass
from pathlib import Path

from autoglmd.config import ModelConfig
from autoglmd.engine.engine import Engine, limits_of
from autoglmd.engine.sequence import EngineEvent
from autoglmd.host.clock import Clock
from autoglmd.messages import ModelInfo, ModelState
from autoglmd.model.bundle import Bundle, read_bundle, resolve_folder, weights_bytes
from autoglmd.model.device import choose_device
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions, available_providers
from autoglmd.model.tokenizer import load_tokenizer
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.prefetch import Prefetcher
from autoglmd.pipeline.preparing import ensure_prepared
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What loading needs beside the model's own configuration.

    Attributes:
        cores: compute threads where the configuration does not say.
        prepared: the folder of prepared copies, one folder per model name.
    """

    clock: Clock
    router: Router
    cores: int
    prepared: Path


def load_model(name: str, config: ModelConfig, context: LoadContext) -> ServedModel:
    """Load a model and start its engine.

    Raises:
        ModelError: the bundle cannot be used; the message says why and what to do.
    """
    bundle = read_bundle(resolve_folder(config.path))
    tokenizer, template = load_tokenizer(bundle.folder, bundle.vocab_size)
    runner = OrtRunner(bundle, _options(name, bundle, config, context))
    if runner.spec.fallback:
        log.warning("%s", runner.spec.fallback, extra={"model": name})
    limits = limits_of(config.engine, runner.spec)
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
    prefetcher = Prefetcher(rules, config.engine.prefetch_depth, config.engine.prefetch_threads, name)

    def emit(events: tuple[EngineEvent, ...]) -> None:
        prefetcher.observe(events)
        context.router.deliver(events)

    engine = Engine(name, runner, limits, context.clock, emit)
    engine.start()
    prefetcher.start(engine)
    info = _describe(name, bundle, runner)
    return ServedModel(info, rules, engine, prefetcher, Line(runner.spec.rows, config.engine.queue_depth))


def _options(name: str, bundle: Bundle, config: ModelConfig, context: LoadContext) -> RunnerOptions:
    device, fallback = choose_device(config.device, available_providers())
    wanted = config.prepare and device.memory == "cpu"
    prepared = ensure_prepared(bundle, context.prepared / name, device.providers) if wanted else None
    return RunnerOptions(
        graph=prepared.graph if prepared else bundle.graph,
        prepared=prepared is not None,
        device=device,
        fallback=fallback,
        rows=config.engine.rows,
        context_tokens=config.engine.context_tokens,
        threads=config.engine.threads or context.cores,
    )


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
