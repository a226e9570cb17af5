"""A ModelRunner that knows what its rows hold, so that nothing is written to a row that is there already."""

from collections.abc import Iterable, Sequence

from autoglmd.engine.row_contents import Content, RowContents, common
from autoglmd.messages.sessions import KvBlock
from autoglmd.model.runner import Ids, Logits, ModelRunner, ModelSpec


class RecordedRunner:
    """All that writes to rows goes through here.

    The record is made smaller before a write and larger after it, so that a write that fails leaves nothing in it that
    is not so. A sequence that has ended leaves its row as it is, which costs nothing and lasts until somebody needs it.
    """

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._contents = RowContents(runner.spec.rows)

    @property
    def spec(self) -> ModelSpec:
        """See ModelRunner.spec."""
        return self._runner.spec

    def held(self, row: int, past: Sequence[KvBlock]) -> int:
        """Positions of a past that a row has already."""
        return common(self._contents.of(row), past)

    def contents(self, rows: Iterable[int]) -> tuple[Content, ...]:
        """What rows hold, frozen."""
        return tuple(self._contents.of(row) for row in rows)

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """See ModelRunner.prefill."""
        self._contents.cut(row, past)
        return self._runner.prefill(row, ids, past, final=final)

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """See ModelRunner.prefill_fresh."""
        for row in range(first_row, first_row + len(ids)):
            self._contents.cut(row, 0)
        return self._runner.prefill_fresh(first_row, ids, lengths)

    def decode(self, ids: Ids, lengths: Ids) -> Logits:
        """See ModelRunner.decode."""
        for row, length in enumerate(lengths.tolist()):
            self._contents.cut(row, length)
        return self._runner.decode(ids, lengths)

    def move(self, source: int, target: int, length: int) -> None:
        """See ModelRunner.move."""
        self._contents.cut(target, 0)
        self._runner.move(source, target, length)
        self._contents.copy(source, target, length)

    def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
        """See ModelRunner.read_kv. From now on the row is known to hold these."""
        blocks = self._runner.read_kv(row, cuts)
        self._contents.put(row, blocks)
        return blocks

    def write_kv(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """Have a row hold these, from its first position on; what it holds of them already is left alone."""
        known = self.held(row, blocks)
        missing = [block for block in blocks if block.stop > known]
        if missing:
            self._contents.cut(row, missing[0].start)
            self._runner.write_kv(row, missing)
            self._contents.put(row, missing)

    def rest(self) -> None:
        """See ModelRunner.rest."""
        self._contents.clear()
        self._runner.rest()

    def forget(self) -> None:
        """No row can be trusted any more."""
        self._contents.clear()
