"""What is known of rows is so, whatever was written to them and whatever failed."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from autoglmd.engine.recorded_runner import RecordedRunner
from autoglmd.engine.row_contents import RowContents, common, content_of, cut
from autoglmd.messages.sessions import KvBlock
from tests.support.fake_runner import FakeRunner, RunFailedError

ROWS, CONTEXT = 3, 24
rows = st.integers(0, ROWS - 1)
places = st.integers(0, CONTEXT)


def block(start: int, tokens: int, held: int | None = None) -> KvBlock:
    """A block with data of its own."""
    return KvBlock(start, tokens, held or tokens, memoryview(bytes(8 * (held or tokens))))


def blocks_of(*lengths: int) -> list[KvBlock]:
    """Neighbouring blocks from the first position on."""
    starts = np.cumsum([0, *lengths]).tolist()
    return [block(start, length) for start, length in zip(starts, lengths, strict=False)]


def test_a_row_holds_what_was_put_there_and_no_more() -> None:
    """A past that goes on further, or has less of the same, is held as far as both go."""
    first, second, third = blocks_of(4, 3, 5)
    content = content_of((first, second))
    assert common(content, (first, second)) == 7
    assert common(content, (first, second, third)) == 7
    assert common(content, (first,)) == 4
    assert common(content, (first.until(2),)) == 2
    assert common(content, (first, second.until(5))) == 5
    assert common(cut(content, 6), (first, second)) == 6
    assert common(content, ()) == 0


def test_equal_data_is_not_the_same_data() -> None:
    """Keys and values of equal tokens may differ in the last bit, so nothing is compared but the object."""
    first, second = blocks_of(4, 3)
    twin = replace(second, data=memoryview(bytes(second.data)))
    assert common(content_of((first, second)), (first, twin)) == 4


def test_a_block_behind_one_that_was_cut_is_not_where_it_was() -> None:
    """What is behind a place where two histories part belongs to one of them."""
    first, second, other = block(0, 4), block(4, 3), block(2, 3)
    assert common(content_of((first, second)), (first.until(2), other)) == 2
    assert common(content_of((first.until(2), other)), (first, second)) == 2


def test_nothing_is_known_behind_a_gap() -> None:
    """A block that does not follow what is known of a row is not noted."""
    contents = RowContents(1)
    first, second, third = blocks_of(4, 3, 5)
    contents.put(0, (first, third))
    assert common(contents.of(0), (first, second, third)) == 4


def test_data_that_nobody_can_bring_any_more_is_let_go() -> None:
    """A record of rows keeps no keys and values in memory."""
    contents = RowContents(1)
    contents.put(0, blocks_of(4, 3))
    assert [held.data() for held in contents.of(0)] == [None, None]


class Rows(RuleBasedStateMachine):
    """A runner whose every token is another one, so that equal contents are the same contents."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeRunner(ROWS, CONTEXT)
        self.runner = RecordedRunner(self.fake)
        self.pasts: list[tuple[KvBlock, ...]] = []
        self.drawn = 0

    def tokens(self, *shape: int) -> np.ndarray:
        """Tokens that were never there before."""
        count = int(np.prod(shape))
        self.drawn += count
        return np.arange(self.drawn - count, self.drawn).reshape(shape)

    @contextlib.contextmanager
    def attempt(self, fails: bool) -> Iterator[None]:
        """A call that may fail behind its writes."""
        self.fake.failing = {len(self.fake.calls)} if fails else set()
        with contextlib.suppress(RunFailedError):
            yield
        self.fake.failing = set()

    @rule(row=rows, past=places, count=st.integers(1, 8), fails=st.booleans())
    def prefill(self, row: int, past: int, count: int, fails: bool) -> None:
        """A chunk, behind whatever is there."""
        if past + count <= CONTEXT:
            with self.attempt(fails):
                self.runner.prefill(row, self.tokens(count), past, final=False)

    @rule(first=rows, length=st.integers(1, 8), fails=st.booleans())
    def prefill_fresh(self, first: int, length: int, fails: bool) -> None:
        """All rows from one on."""
        with self.attempt(fails):
            self.runner.prefill_fresh(first, self.tokens(ROWS - first, length), np.full(ROWS - first, length))

    @rule(lengths=st.lists(st.integers(1, CONTEXT - 1), min_size=1, max_size=ROWS), fails=st.booleans())
    def decode(self, lengths: list[int], fails: bool) -> None:
        """One token for the first rows."""
        with self.attempt(fails):
            self.runner.decode(self.tokens(len(lengths)), np.array(lengths))

    @rule(source=rows, to=rows, length=places, fails=st.booleans())
    def move(self, source: int, to: int, length: int, fails: bool) -> None:
        """One row's beginning into another."""
        if source == to:
            return
        with self.attempt(fails):
            self.runner.move(source, to, length)

    @rule(row=rows, stop=places, cuts=st.sets(places), fails=st.booleans(), past=st.data())
    def end_of_a_sequence(self, row: int, stop: int, cuts: set[int], fails: bool, past: st.DataObject) -> None:
        """Keep what is behind a past that the row has; both are a past of the next."""
        brought = past.draw(st.sampled_from([*self.pasts, ()]))
        start = self.runner.held(row, brought)
        if start < stop and start == (brought[-1].stop if brought else 0):
            with self.attempt(fails):
                kept = self.runner.read_kv(row, sorted({start, stop, *(each for each in cuts if start < each < stop)}))
                self.pasts.append((*brought, *kept))

    @precondition(lambda self: self.pasts)
    @rule(row=rows, past=st.data(), stop=st.integers(1, CONTEXT), fails=st.booleans())
    def write(self, row: int, past: st.DataObject, stop: int, fails: bool) -> None:
        """Bring a past, or a beginning of one, into a row."""
        brought = past.draw(st.sampled_from(self.pasts))
        brought = tuple(each.until(stop) for each in brought if each.start < stop)
        with self.attempt(fails):
            self.runner.write_kv(row, brought)
            assert self.runner.held(row, brought) == (brought[-1].stop if brought else 0)

    @precondition(lambda self: len(self.pasts) > 4)
    @rule(past=st.data())
    def forget(self, past: st.DataObject) -> None:
        """A conversation is evicted."""
        self.pasts.pop(past.draw(st.integers(0, len(self.pasts) - 1)))

    @rule()
    def rest(self) -> None:
        """Nobody has a row."""
        self.runner.rest()

    @invariant()
    def what_is_known_is_so(self) -> None:
        """A row has what the record says it has, token by token."""
        for past in self.pasts:
            told = told_by(past)
            for row in range(ROWS):
                held = self.runner.held(row, past)
                assert self.fake.kv[row, :held].tolist() == told[:held]


def told_by(past: Sequence[KvBlock]) -> list[int]:
    """The tokens of a past."""
    return [token for each in past for token in np.frombuffer(each.data, np.int64)[: each.tokens].tolist()]


TestRows = Rows.TestCase


@given(lengths=st.lists(st.integers(1, 5), max_size=5), stop=st.integers(0, 25))
def test_cutting_a_record_is_cutting_the_past(lengths: list[int], stop: int) -> None:
    """Of blocks that are all there, those before a place are there."""
    past = blocks_of(*lengths)
    assert common(cut(content_of(past), stop), past) == min(stop, sum(lengths))
