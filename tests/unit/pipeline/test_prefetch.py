"""The prefetch threads: bounded ahead of the engine, and honest with what is cancelled meanwhile."""

import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from autoglmd.engine.sequence import Admitted, Ended, SequenceRequest
from autoglmd.errors.availability import DrainingError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import FinishReason, GenerationRequest, SamplingParams, TextPrompt
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.prefetch import Prefetcher, PrefetchLimits
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.prompts import PromptRules
from tests.support.fake_served import NO_SESSIONS
from tests.support.gated_tokenizer import PANIC, GatedTokenizer, PanicError

LIMIT_SECONDS = 10.0


class FakeEngine:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.broken = False
        self.keeps_rows = False
        self._changed = threading.Condition()

    def submit(self, request: SequenceRequest) -> None:
        """See Engine.submit."""
        if self.broken:
            raise RuntimeError("no engine")
        self._note("submit", request.sequence_id)

    def is_hot(self, request: SequenceRequest) -> bool:
        """See Engine.is_hot."""
        return self.keeps_rows and bool(request.past)

    def cancel(self, sequence_id: str, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """See Engine.cancel."""
        self._note(reason.value, sequence_id)

    def wait(self, count: int) -> None:
        """Until it was told so many things."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, LIMIT_SECONDS), self.told

    def _note(self, what: str, sequence_id: str) -> None:
        with self._changed:
            self.told.append((what, sequence_id))
            self._changed.notify_all()


class Rig:
    """A prefetcher between a tokenizer and an engine that both obey the test."""

    def __init__(self, depth: int, threads: int = 1) -> None:
        self.tokenizer = GatedTokenizer()
        rules = PromptRules(self.tokenizer, None, 512, 64, 64, 8, frozenset({2}), SamplingParams())
        self.engine = FakeEngine()
        self.prefetcher = Prefetcher(rules, NO_SESSIONS, PrefetchLimits(depth, threads, 1 << 20, 5.0), "tiny")
        self.prefetcher.start(self.engine)  # type: ignore[arg-type]
        self.answers: dict[str, Prepared | Exception] = {}
        self.answered = threading.Semaphore(0)

    def put(self, name: str, text: str = "abc") -> Job:
        """Hand over a job; its answer lands in `answers`."""
        request = GenerationRequest(name, "", TextPrompt(text), SamplingParams(), None, (), False, None, 0.0, "")

        def answer(result: Prepared | Exception) -> None:
            self.answers[name] = result
            self.answered.release()

        job = Job(request, name, answer)
        self.prefetcher.put(job)
        return job

    def wait_answers(self, count: int) -> None:
        """Until so many more jobs are answered."""
        for _ in range(count):
            assert self.answered.acquire(timeout=LIMIT_SECONDS)

    def wait_tokenizing(self, count: int = 1) -> None:
        """Until the tokenizer was called so many more times."""
        for _ in range(count):
            assert self.tokenizer.arrived.acquire(timeout=LIMIT_SECONDS)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    """Rigs that are stopped afterwards, with no thread left."""
    rigs: list[Rig] = []

    def made(depth: int, threads: int = 1) -> Rig:
        rigs.append(Rig(depth, threads))
        return rigs[-1]

    yield made
    for rig in rigs:
        rig.tokenizer.gate.set()
        rig.prefetcher.stop(LIMIT_SECONDS)
        assert not any(thread.is_alive() for thread in rig.prefetcher._threads)


def test_a_job_becomes_a_sequence_that_the_engine_gets(make: Callable[..., Rig]) -> None:
    """The stream hears of it before the engine does, so no event can come first."""
    rig = make(depth=2)
    rig.put("a", "hi")
    rig.engine.wait(1)
    prepared = rig.answers["a"]
    assert isinstance(prepared, Prepared)
    assert prepared.sequence.prompt_ids.tolist() == [4, 5]
    assert rig.engine.told == [("submit", "a")]


def test_no_more_are_ready_than_the_depth_says(make: Callable[..., Rig]) -> None:
    """Beyond the depth jobs stay untouched until one of the ready ones has a row, or has ended."""
    rig = make(depth=2)
    for name in "abcd":
        rig.put(name, name)
    rig.engine.wait(2)
    assert rig.tokenizer.texts == ["a", "b"]
    rig.prefetcher.observe([Admitted("a", 0.0)])
    rig.engine.wait(3)
    assert rig.tokenizer.texts == ["a", "b", "c"]
    rig.prefetcher.observe([Ended("a", FinishReason.LENGTH, 0.0), Ended("b", FinishReason.CANCELLED, 0.0)])
    rig.engine.wait(4)
    assert rig.tokenizer.texts == ["a", "b", "c", "d"]


def test_a_sequence_gives_its_place_back_once(make: Callable[..., Rig]) -> None:
    """Having got a row and having ended are not two places."""
    rig = make(depth=1)
    for name in "abcd":
        rig.put(name, name)
    rig.engine.wait(1)
    rig.prefetcher.observe([Admitted("a", 0.0), Ended("a", FinishReason.LENGTH, 0.0)])
    rig.engine.wait(2)
    rig.prefetcher.observe([Admitted("b", 0.0)])
    rig.engine.wait(3)
    assert rig.tokenizer.texts == ["a", "b", "c"]


def test_a_refused_prompt_is_answered_and_holds_no_place(make: Callable[..., Rig]) -> None:
    """What cannot be served is told so; the next one takes its place."""
    rig = make(depth=1)
    rig.put("bad", "")
    rig.put("good")
    rig.engine.wait(1)
    assert isinstance(rig.answers["bad"], InvalidArgumentError)
    assert rig.engine.told == [("submit", "good")]


def test_a_job_that_nobody_waits_for_is_forgotten_at_once(make: Callable[..., Rig]) -> None:
    """A client that left the line costs nothing more, not even its prompt's memory while the line stands still."""
    rig = make(depth=1)
    rig.put("first")
    rig.engine.wait(1)
    gone, left = rig.put("gone", "gone"), rig.put("next", "next")
    held = weakref.ref(gone.answer)
    rig.prefetcher.discard(gone)
    del gone
    assert held() is None
    rig.prefetcher.observe([Admitted("first", 0.0)])
    rig.engine.wait(2)
    assert rig.tokenizer.texts == ["abc", "next"]
    rig.prefetcher.discard(left)
    assert "gone" not in rig.answers


def test_a_tokenizer_that_panics_fails_its_own_request_only(make: Callable[..., Rig]) -> None:
    """Rust's panics are no Exceptions; the thread lives, the place is free, and the client gets an error."""
    rig = make(depth=1)
    rig.put("boom", PANIC)
    rig.put("fine")
    rig.engine.wait(1)
    answer = rig.answers["boom"]
    assert isinstance(answer, Exception)
    assert isinstance(answer.__cause__, PanicError)
    assert rig.engine.told == [("submit", "fine")]
    assert rig.prefetcher.is_whole


def test_what_fails_behind_the_tokenizer_fails_its_own_request_only(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody waits for an answer, and without its thread nobody would get one."""
    rig = make(depth=1)

    def fail(*_: object) -> bool:
        raise MemoryError

    with monkeypatch.context() as full:
        full.setattr(FakeEngine, "is_hot", fail)
        rig.put("a")
        assert rig.answered.acquire(timeout=LIMIT_SECONDS)
    assert isinstance(rig.answers["a"], MemoryError)
    rig.put("b")
    rig.engine.wait(1)
    assert rig.prefetcher.is_whole


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_all_the_same_is_noticed(make: Callable[..., Rig]) -> None:
    """The watchdog asks for it: nobody would be served any more."""
    rig = make(depth=1)
    assert rig.prefetcher.is_whole
    rig.engine.broken = True
    rig.put("a")
    rig.prefetcher._threads[0].join(LIMIT_SECONDS)
    assert not rig.prefetcher.is_whole


def test_everyone_without_a_row_counts_as_waiting(make: Callable[..., Rig]) -> None:
    """In the line, being tokenized, ready for the engine: all wait; one with a row does not."""
    rig = make(depth=2)
    rig.put("ready")
    rig.engine.wait(1)
    rig.wait_tokenizing()
    rig.tokenizer.gate.clear()
    rig.put("tokenizing")
    rig.wait_tokenizing()
    rig.put("in line")
    assert rig.prefetcher.waiting == 3
    rig.prefetcher.observe([Admitted("ready", 0.0)])
    assert rig.prefetcher.waiting == 2


def test_one_who_is_cancelled_while_being_tokenized_ends_in_the_engine(make: Callable[..., Rig]) -> None:
    """The engine was told before it knew the sequence, so it is told again, with the reason."""
    rig = make(depth=1)
    rig.tokenizer.gate.clear()
    job = rig.put("a")
    rig.wait_tokenizing()
    job.cancelled = FinishReason.SHUTDOWN
    rig.tokenizer.gate.set()
    rig.engine.wait(2)
    assert rig.engine.told == [("submit", "a"), ("shutdown", "a")]


def test_threads_share_the_work_and_the_depth(make: Callable[..., Rig]) -> None:
    """Two threads tokenize at once, and are still bounded together."""
    rig = make(depth=3, threads=2)
    rig.tokenizer.gate.clear()
    for name in "abcdef":
        rig.put(name, name)
    rig.wait_tokenizing(2)
    rig.tokenizer.gate.set()
    rig.engine.wait(3)
    assert sorted(rig.tokenizer.texts) == ["a", "b", "c"]


def test_stopping_answers_those_who_are_still_in_line(make: Callable[..., Rig]) -> None:
    """Threads that wait for a place, with jobs in the line, end at once, and every job has its answer."""
    rig = make(depth=1)
    for name in "abc":
        rig.put(name)
    rig.engine.wait(1)
    rig.prefetcher.stop(LIMIT_SECONDS)
    assert not any(thread.is_alive() for thread in rig.prefetcher._threads)
    rig.wait_answers(3)
    assert isinstance(rig.answers["b"], DrainingError)
    assert isinstance(rig.answers["c"], DrainingError)


def test_stopping_does_not_wait_longer_than_it_may(make: Callable[..., Rig]) -> None:
    """A thread deep in somebody's prompt is left to itself."""
    rig = make(depth=1)
    rig.tokenizer.gate.clear()
    rig.put("slow")
    rig.wait_tokenizing()
    rig.prefetcher.stop(0.0)
    assert rig.prefetcher._threads[0].is_alive()


def test_what_comes_after_the_stop_is_answered_too(make: Callable[..., Rig]) -> None:
    """Nobody would look at it any more."""
    rig = make(depth=1)
    rig.prefetcher.stop(LIMIT_SECONDS)
    rig.put("late")
    rig.wait_answers(1)
    assert isinstance(rig.answers["late"], DrainingError)
