"""A prefetcher whose disk, tokenizer and engine obey the test."""

import threading

from autoglmd.errors.session import SessionError
from autoglmd.messages.generation import GenerationRequest, SamplingParams, TextPrompt
from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier, KvBlock, SessionKey
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.prefetch import Prefetcher, PrefetchLimits
from autoglmd.pipeline.preparation import Prepared, Recalled
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.recall import Recall
from autoglmd.pipeline.taking_up import TakingUp
from autoglmd.sessions.conversation import Conversation
from tests.support.conversations import MODEL, empty
from tests.unit.pipeline.test_prefetch import LIMIT_SECONDS, FakeEngine, GatedTokenizer

RECALL_SECONDS = 5.0


class GoingOn(GatedTokenizer):
    """Text that goes on is text."""

    def encode_on(self, text: str) -> list[int]:
        """See Tokenizer.encode_on."""
        return self.encode(text, add_prefix=False)


class HangingDisk:
    """Sessions in memory, and others that are read once their gate is open."""

    def __init__(self) -> None:
        self.warm: set[str] = set()
        self.gates: dict[str, threading.Event] = {}
        self.broken: set[str] = set()
        self.reads: list[str] = []
        self.reached = threading.Semaphore(0)
        self.block_bytes = 4
        self.looked, self.looking = threading.Event(), threading.Event()
        self.looking.set()

    def recall(self) -> Recall:
        """What a prefetcher takes."""
        return Recall(self._in_memory, self._on_disk, lambda key: self._empty(key, CacheMiss.UNREADABLE))

    def hang(self, *names: str) -> None:
        """Read these no further than to the gate."""
        self.gates.update({name: threading.Event() for name in names})

    def wait_reads(self, count: int) -> None:
        """Until so many more readers are at their gates."""
        for _ in range(count):
            assert self.reached.acquire(timeout=LIMIT_SECONDS)

    def _in_memory(self, key: SessionKey) -> Recalled | None:
        self.looked.set()
        assert self.looking.wait(LIMIT_SECONDS)
        if key.session_id not in self.warm:
            return None
        return Recalled(self._told(key), CacheReport(tier=CacheTier.MEMORY))

    def _on_disk(self, key: SessionKey) -> Recalled:
        self.reads.append(key.session_id)
        self.reached.release()
        gate = self.gates.get(key.session_id)
        assert gate is None or gate.wait(LIMIT_SECONDS)
        if key.session_id in self.broken:
            raise SessionError("another's")
        return Recalled(self._told(key), CacheReport(tier=CacheTier.DISK))

    def _told(self, key: SessionKey) -> Conversation:
        block = KvBlock(0, 1, 1, bytes(self.block_bytes))
        return Conversation(key, MODEL, 0.0, 0.0, ids=(7, 8), blocks=(block,))

    def _empty(self, key: SessionKey, why: CacheMiss) -> Recalled:
        return Recalled(empty(key), CacheReport(miss=why))


class Rig:
    """A prefetcher whose disk, tokenizer and engine obey the test."""

    def __init__(self, depth: int, past_bytes: int = 1 << 20) -> None:
        self.disk = HangingDisk()
        self.now = 1000.0
        rules = PromptRules(GoingOn(), None, 512, 64, 64, 8, frozenset({2}), SamplingParams())
        self.engine = FakeEngine()
        limits = PrefetchLimits(depth, 1, past_bytes, RECALL_SECONDS)
        self.prefetcher = Prefetcher(rules, self.disk.recall(), limits, "tiny", lambda: self.now)
        self.prefetcher.start(self.engine)  # type: ignore[arg-type]
        self.answers: dict[str, Prepared | Exception] = {}
        self.answered = threading.Semaphore(0)

    def put(self, name: str, session: str = "", taking_up: TakingUp | None = None) -> Job:
        """Hand over a job."""
        key = SessionKey("local", session) if session else None
        prompt, sampling = TextPrompt("abc"), SamplingParams()
        request = GenerationRequest(name, "", prompt, sampling, None, (), False, None, 0.0, "", key)

        def answer(result: Prepared | Exception) -> None:
            self.answers[name] = result
            self.answered.release()

        job = Job(request, name, answer, taking_up=taking_up)
        self.prefetcher.put(job)
        return job

    def pass_limit(self) -> None:
        """Let time go by, until whoever is read now is read no longer."""
        self.now += RECALL_SECONDS
        self.prefetcher.observe([])

    def submitted(self, count: int) -> list[str]:
        """Who came to the engine, once there are so many."""
        self.engine.wait(count)
        return [name for _, name in self.engine.told]

    def cache(self, name: str) -> CacheReport:
        """What a request's session brought along."""
        answer = self.answers[name]
        assert isinstance(answer, Prepared)
        return answer.cache
