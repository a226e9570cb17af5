"""A served model whose graph is arithmetic: real engine, prefetcher and tokenizer around a FakeRunner."""

from autoglmd.engine.engine import Engine
from autoglmd.engine.plan import Limits
from autoglmd.engine.sequence import EngineEvent
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import SamplingParams
from autoglmd.messages.sessions import SessionKey
from autoglmd.messages.status import ModelInfo, ModelState
from autoglmd.pipeline.line import Line
from autoglmd.pipeline.prefetch import Prefetcher, PrefetchLimits
from autoglmd.pipeline.preparation import Recalled
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.recall import Recall
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import SessionBook, recalling
from autoglmd.sessions.conversation import ModelMark
from tests.support.fake_runner import FakeRunner
from tests.support.fixture_models import VOCABULARY, tokenizer_of

CONTEXT = 128


def make_runner(rows: int = 2) -> FakeRunner:
    """Rows for a fake model that speaks the tiny models' vocabulary."""
    return FakeRunner(rows, CONTEXT, VOCABULARY)


def _no_session(_key: SessionKey) -> Recalled:
    raise AssertionError("a session was asked for")


NO_SESSIONS = Recall(_no_session, _no_session, _no_session)
"""For requests of their own."""


def serve(
    name: str,
    runner: FakeRunner,
    router: Router,
    clock: Clock,
    places: int = 4,
    depth: int = 2,
    book: SessionBook | None = None,
) -> ServedModel:
    """Start a served model; its end-of-text token is 0, which the fake never draws."""
    limits = Limits(runner.spec.rows, runner.spec.rows * CONTEXT, chunk_tokens=16, padding=0.25)
    rules = PromptRules(
        tokenizer=tokenizer_of("tiny-per-token"),
        template=None,
        vocab_size=VOCABULARY,
        context_tokens=CONTEXT,
        kv_tokens=limits.kv_tokens,
        max_tokens=8,
        eos_ids=frozenset({0}),
        defaults=SamplingParams(temperature=0.0),
    )
    mark = ModelMark(name, "v1", "t1", "fake", runner.spec.kv_bytes_per_token)
    recall = NO_SESSIONS if book is None else recalling(book, mark)
    prefetcher = Prefetcher(rules, recall, PrefetchLimits(depth, 1, 1 << 20, 5.0), name)

    def emit(events: tuple[EngineEvent, ...]) -> None:
        prefetcher.observe(events)
        router.deliver(events)

    engine = Engine(name, runner, limits, clock, emit)
    engine.start()
    prefetcher.start(engine)
    info = ModelInfo(name, ModelState.READY, rows=runner.spec.rows, version="v1")
    return ServedModel(info, rules, engine, prefetcher, Line(runner.spec.rows, places), mark)
