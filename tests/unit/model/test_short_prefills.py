"""The way for short prefills is taken where it was seen to change no bit, and nowhere else."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from autoglmd.messages.sessions import KvBlock
from autoglmd.model.graph_io import SHORT_PREFILL_TOKENS
from autoglmd.model.short_prefills import SHORT_TOKENS, ShortPrefills
from tests.support.fixture_models import FOLDER, open_runner

PROMPT = np.random.default_rng(0).integers(6, 512, 200)


class Session:
    """A graph with one input that need not be given."""

    def __init__(self, name: str = SHORT_PREFILL_TOKENS) -> None:
        self._name = name

    def get_overridable_initializers(self) -> list[SimpleNamespace]:
        """See InferenceSession."""
        return [SimpleNamespace(name=self._name)]


class Runner:
    """Computes what the test says, which may depend on the chunks."""

    def __init__(self, context: int = 2048) -> None:
        self.spec = SimpleNamespace(context_tokens=context, vocab_size=512, kv_bytes_per_token=8)
        self.logits: Callable[[int], float] = lambda _tokens: 0.0
        self.integer: Callable[[int], int] = lambda _tokens: 0
        self.runs: list[tuple[int, int]] = []
        self._held: list[int] = []

    def write_kv(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """See ModelRunner."""

    def prefill(self, row: int, ids: np.ndarray, past: int, *, final: bool) -> np.ndarray:
        """See ModelRunner."""
        self.runs.append((len(ids), past))
        del self._held[past - 510 :]
        self._held += [self.integer(len(ids))] * len(ids)
        return np.array([self.logits(len(ids))])

    def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
        """See ModelRunner."""
        tokens = cuts[1] - cuts[0]
        assert tokens == len(self._held)
        return (KvBlock(cuts[0], tokens, tokens, bytes(self._held)),)


def tried(
    runner: Runner, session: Session | None = None, memory: str = "cpu", *, splits_heads: bool = False
) -> ShortPrefills:
    """As a runner does it when it has loaded."""
    short = ShortPrefills(session or Session(), memory, splits_heads=splits_heads)  # type: ignore[arg-type] # it asks for the inputs alone
    short.try_out(runner)  # type: ignore[arg-type] # a runner of four methods
    return short


def test_the_same_bits_allow_it() -> None:
    """Tried behind a past, as many tokens at once the ordinary way and in two chunks the other."""
    runner = Runner()
    assert tried(runner).tokens == SHORT_TOKENS
    assert runner.runs == [(16, 510), (2, 510), (14, 512)]


@pytest.mark.parametrize(("what", "tokens"), [("logits", 14), ("integer", 2), ("integer", 14)])
def test_another_bit_forbids_it(what: str, tokens: int) -> None:
    """In what is told, or in what is kept, of either chunk."""
    runner = Runner()
    setattr(runner, what, lambda count: int(count == tokens))
    assert tried(runner).tokens == 0


@pytest.mark.parametrize(
    ("runner", "session", "memory"),
    [
        (Runner(), Session("logits_indices"), "cpu"),
        (Runner(), Session(), "cuda"),
        (Runner(SHORT_TOKENS), Session(), "cpu"),
    ],
    ids=["no such way", "another device", "no context for it"],
)
def test_where_there_is_nothing_to_try_nothing_runs(runner: Runner, session: Session, memory: str) -> None:
    """And it is not taken."""
    assert tried(runner, session, memory).tokens == 0
    assert runner.runs == []


def test_what_fails_is_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    """The model is loaded all the same."""

    def fail(_tokens: int) -> float:
        raise RuntimeError("no such kernel")

    runner = Runner()
    runner.logits = fail
    assert tried(runner).tokens == 0
    assert "no such kernel" in caplog.text


def test_with_more_threads_than_heads_it_is_not_taken() -> None:
    """A product is cut among them by its size: what one size shows says nothing of another."""
    assert tried(Runner(), splits_heads=True).tokens == 0
    assert open_runner(FOLDER / "tiny-int8", threads=3)._short.tokens == 0


def test_a_kernel_that_gives_other_bits_is_noticed() -> None:
    """The blockwise one, which a large context gets: its sums are made in another order."""
    runner = open_runner(FOLDER / "tiny-int8", run_tokens=1 << 14)
    assert runner._short.tokens == 0


@pytest.mark.parametrize("tokens", [2, 31, SHORT_TOKENS, 34])
def test_where_a_prompt_is_cut_changes_no_bit(tokens: int) -> None:
    """On whichever side of the limit its last chunk is."""
    runner = open_runner(FOLDER / "tiny-int8")
    whole = runner.prefill(0, PROMPT, 0, final=True).tobytes()
    (kept,) = runner.read_kv(0, (0, len(PROMPT)))
    runner.prefill(1, PROMPT[:-tokens], 0, final=False)
    assert runner.prefill(1, PROMPT[-tokens:], len(PROMPT) - tokens, final=True).tobytes() == whole
    (again,) = runner.read_kv(1, (0, len(PROMPT)))
    assert bytes(again.data) == bytes(kept.data)
