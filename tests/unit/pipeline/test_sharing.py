"""Beginnings that prompts share, between prefetch threads, memory and a disk that may not answer."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from autoglmd.engine.sequence import Ended, Kept, SequenceRequest
from autoglmd.errors.availability import DrainingError
from autoglmd.messages.generation import FinishReason, GenerationRequest, SamplingParams, TokenPrompt
from autoglmd.messages.sessions import PAGE_TOKENS, CacheTier, KvBlock
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.prefetch import Prefetcher, PrefetchLimits
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.sharing import Sharing
from autoglmd.sessions.beginnings import Beginnings
from autoglmd.sessions.memory import Memory
from autoglmd.sessions.prefixes import Page, SharedPrefixes
from tests.support.conversations import MODEL
from tests.support.fake_served import NO_SESSIONS
from tests.support.fixture_models import tokenizer_of
from tests.unit.pipeline.test_prefetch import FakeEngine

LIMIT_SECONDS = 10.0
KNOWN = 7
"""The first token of whatever the disk knows."""
LONG = 3 * PAGE_TOKENS + 1


def block(page: int) -> KvBlock:
    """A page of zeros."""
    data = memoryview(bytes(PAGE_TOKENS * MODEL.kv_bytes_per_token))
    return KvBlock(PAGE_TOKENS * page, PAGE_TOKENS, PAGE_TOKENS, data)


class FakeBeginnings(Beginnings):
    """A disk that knows two pages of what begins with one token; it answers while its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)
        self.threads: list[str] = []
        self.failure: OSError | None = None

    def may_be_known(self, page: Page) -> bool:
        """See Beginnings.may_be_known."""
        return page.ids[0] == KNOWN

    def find(self, pages: Sequence[Page], known: int) -> tuple[KvBlock, ...]:
        """See Beginnings.find."""
        self.threads.append(threading.current_thread().name)
        self.asked.release()
        assert self.gate.wait(LIMIT_SECONDS)
        if self.failure is not None:
            raise self.failure
        return (block(0), block(1)) if known < 2 else ()


class Rig:
    """A prefetcher over a memory, a disk and an engine that obey the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.disk = FakeBeginnings()
        self.engine = FakeEngine()
        self.engine.keeps_rows = True
        tokenizer = tokenizer_of("tiny-int8")
        rules = PromptRules(tokenizer, None, 512, 512, 512, 8, frozenset({2}), SamplingParams())
        sharing = Sharing(SharedPrefixes(Memory(1 << 20)), self.disk, MODEL)
        recall = replace(NO_SESSIONS, sharing=sharing)
        self.prefetcher = Prefetcher(rules, recall, PrefetchLimits(8, 1, 1 << 20, 5.0), "tiny", lambda: self.now)
        self.prefetcher.start(self.engine)  # type: ignore[arg-type]
        self.answers: dict[str, Prepared | Exception] = {}

    def put(self, name: str, first: int, length: int = LONG, tenant: str | None = "local") -> Job:
        """Ask for an answer to a long prompt."""
        ids = (first, *range(100, 99 + length))
        request = GenerationRequest(
            name, "", TokenPrompt(ids), SamplingParams(), 4, (), False, None, 0.0, "", tenant=tenant
        )
        job = Job(request, name, lambda result: self.answers.__setitem__(name, result))
        self.prefetcher.put(job)
        return job

    def prepared(self, name: str) -> Prepared:
        """What it became."""
        made = self.answers[name]
        assert isinstance(made, Prepared)
        return made

    def wait_asked(self) -> None:
        """Until somebody waits for the disk."""
        assert self.disk.asked.acquire(timeout=LIMIT_SECONDS)

    def ran(self, sequence: SequenceRequest, pages: Sequence[int], reason: FinishReason = FinishReason.STOP) -> None:
        """The engine has computed these pages of a sequence, and ended it."""
        kept = [Kept(sequence.sequence_id, block(page)) for page in pages]
        self.prefetcher.observe([*kept, Ended(sequence.sequence_id, reason, 0.0)])


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Stopped afterwards."""
    rig = Rig()
    yield rig
    rig.disk.gate.set()
    rig.prefetcher.stop(LIMIT_SECONDS)


def test_a_prompt_is_kept_and_the_next_one_brings_it_along(rig: Rig) -> None:
    """Its whole pages; and the second keeps what it had to compute."""
    rig.put("a", 1)
    rig.engine.wait(1)
    first = rig.prepared("a").sequence
    assert (first.past, first.keep_from, first.pages_until, first.keep_rest) == ((), 0, 192, False)
    rig.ran(first, [0, 1])
    rig.put("b", 1)
    rig.engine.wait(2)
    second = rig.prepared("b")
    assert (second.sequence.past_tokens, second.sequence.keep_from, second.missing_pages) == (128, 128, 1)
    assert (second.cache.cached_tokens, second.cache.tier) == (128, CacheTier.ROW)


def test_a_short_prompt_costs_nothing(rig: Rig) -> None:
    """Of one that has no whole page but its last token, nothing is kept."""
    rig.put("a", 1, PAGE_TOKENS)
    rig.engine.wait(1)
    sequence = rig.prepared("a").sequence
    assert sequence.pages_until == 0
    assert not sequence.keep_rest
    rig.put("b", 1, PAGE_TOKENS, tenant=None)
    rig.engine.wait(2)
    assert rig.prepared("b").sequence.keep_from is None


def test_what_is_no_page_or_of_nobody_is_not_taken(rig: Rig) -> None:
    """An answer's block, a page behind the prompt, and what is told of a sequence that has ended."""
    rig.put("a", 1)
    rig.engine.wait(1)
    sequence = rig.prepared("a").sequence
    rest = KvBlock(64, 10, 10, memoryview(bytes(40)))
    rig.prefetcher.observe([Kept("a", rest), Kept("a", block(3)), Kept("who", block(0)), Kept("a", block(1))])
    rig.ran(sequence, [])
    rig.ran(sequence, [0])
    rig.put("b", 1)
    rig.engine.wait(2)
    assert rig.prepared("b").sequence.past == ()


def test_a_page_that_cannot_be_taken_hurts_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the engine's other news go on."""

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SharedPrefixes, "put", full)
    rig.put("a", 1)
    rig.engine.wait(1)
    rig.ran(rig.prepared("a").sequence, [0, 1])
    assert "is not kept" in caplog.text
    assert rig.prefetcher.waiting == 0


def test_a_thread_of_its_own_reads_for_a_prompt(rig: Rig) -> None:
    """The tokenizing thread asks no disk; what was read is in memory then."""
    rig.put("a", KNOWN)
    rig.engine.wait(1)
    assert rig.disk.threads == ["read-tiny"]
    assert rig.prepared("a").cache.cached_tokens == 128
    assert rig.prepared("a").sequence.keep_from == 128
    rig.put("b", KNOWN, 2 * PAGE_TOKENS + 1)
    rig.engine.wait(2)
    assert rig.prepared("b").cache.cached_tokens == 128
    assert len(rig.disk.threads) == 1


def test_a_prompt_that_no_disk_knows_waits_for_none(rig: Rig) -> None:
    """And one that a disk may know waits for so long, and is then computed."""
    rig.disk.gate.clear()
    rig.put("waits", KNOWN)
    rig.wait_asked()
    rig.put("other", 1)
    rig.engine.wait(1)
    assert set(rig.answers) == {"other"}
    rig.now = 6.0
    rig.prefetcher.observe(())
    rig.engine.wait(2)
    assert rig.prepared("waits").sequence.past == ()


def test_a_disk_that_fails_costs_computing(rig: Rig) -> None:
    """The answer goes on without."""
    rig.disk.failure = OSError("EIO")
    rig.put("a", KNOWN)
    rig.engine.wait(1)
    assert rig.prepared("a").sequence.past == ()
    assert rig.prepared("a").missing_pages == 3


def test_all_are_answered_at_the_end(rig: Rig) -> None:
    """Also one that waits for a disk; one that nobody waits for any more is told nothing."""
    rig.disk.gate.clear()
    rig.put("waits", KNOWN)
    gone = rig.put("gone", KNOWN)
    rig.wait_asked()
    rig.wait_asked()
    assert rig.prefetcher.discard(gone)
    rig.prefetcher.stop(LIMIT_SECONDS)
    assert set(rig.answers) == {"waits"}
    assert isinstance(rig.answers["waits"], DrainingError)
