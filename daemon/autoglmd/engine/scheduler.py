"""Who waits, who is being prefilled in chunks, who decodes, and in which row.

Decoding sequences are dense in rows 0..n-1, because a decode runs over the first n rows. A prompt that is computed in
chunks sits in the last row until it is done, out of the way of short prompts, which start at row n and decode there;
or in another free row, for as long as nobody needs that one. The engine thread owns a Scheduler.
"""

from collections import deque

from autoglmd.engine.plan import EngineView, Waiting
from autoglmd.engine.sequence import Sequence


class Scheduler:
    """The sequences of one engine."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._waiting: deque[Sequence] = deque()
        self._decoding: list[Sequence] = []
        self._chunked: Sequence | None = None
        self._chunked_row = rows - 1

    @property
    def decoding(self) -> tuple[Sequence, ...]:
        """Decoding sequences; the index is the row."""
        return tuple(self._decoding)

    @property
    def chunked(self) -> Sequence | None:
        """The sequence whose prompt is computed in chunks."""
        return self._chunked

    @property
    def chunked_row(self) -> int:
        """Row of the chunked prompt."""
        return self._chunked_row

    @property
    def free_rows(self) -> tuple[int, ...]:
        """Rows that nobody has; the first of them is the next to decode in, if nobody sits there in chunks."""
        taken = self._chunked_row if self._chunked else None
        return tuple(row for row in range(len(self._decoding), self._rows) if row != taken)

    @property
    def waiting_count(self) -> int:
        """How many have no row."""
        return len(self._waiting)

    @property
    def rows_in_use(self) -> int:
        """How many have one."""
        return len(self._decoding) + (self._chunked is not None)

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody at all."""
        return not self._waiting and not self.rows_in_use

    def row_of(self, sequence: Sequence) -> int | None:
        """The row that a sequence has, if it has one."""
        if sequence is self._chunked:
            return self.chunked_row
        return self._decoding.index(sequence) if sequence in self._decoding else None

    def view(self) -> EngineView:
        """Everything that planning needs, frozen."""
        running = [*self._decoding, *([self._chunked] if self._chunked else [])]
        return EngineView(
            waiting=tuple(
                Waiting(each.sequence_id, each.prefill_left, each.request.promised_tokens, not each.computed)
                for each in self._waiting
            ),
            decoding=len(self._decoding),
            chunked_left=self._chunked.prefill_left if self._chunked else None,
            promised_tokens=sum(each.request.promised_tokens for each in running),
        )

    def everyone(self) -> tuple[Sequence, ...]:
        """All sequences, running ones first."""
        chunked = (self._chunked,) if self._chunked else ()
        return (*self._decoding, *chunked, *self._waiting)

    def enqueue(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the line."""
        self._waiting.append(sequence)

    def start_decoding(self, sequence_ids: tuple[str, ...]) -> list[Sequence]:
        """Give waiting sequences the rows behind the decoding ones, in the order asked for."""
        started = self._take(sequence_ids)
        self._decoding.extend(started)
        return started

    def start_chunked(self, sequence_id: str) -> Sequence:
        """Give a waiting sequence with a long prompt the last row."""
        (self._chunked,) = started = self._take((sequence_id,))
        self._chunked_row = self._rows - 1
        return started[0]

    def seat_chunked(self, row: int) -> None:
        """Give the chunked prompt another row, which must be free; before anything of it has been computed."""
        self._chunked_row = row

    def make_room(self, count: int) -> tuple[int, int, int] | None:
        """Let so many start to decode. Returns (source row, target row, length) of a chunked prompt in their way."""
        sequence, source = self._chunked, self._chunked_row
        if sequence is None or source >= len(self._decoding) + count:
            return None
        self._chunked_row = self._rows - 1
        return (source, self._chunked_row, sequence.computed)

    def promote_chunked(self) -> tuple[int, int, int] | None:
        """Let the chunked prompt decode. Returns (source row, target row, length) if its KV has to move."""
        sequence = self._chunked
        if sequence is None:
            return None
        self._chunked = None
        target = len(self._decoding)
        self._decoding.append(sequence)
        return None if target == self.chunked_row else (self.chunked_row, target, sequence.computed)

    def remove(self, sequence: Sequence) -> tuple[int, int, int] | None:
        """Forget a sequence. Returns (source row, target row, length) of the KV that has to fill its row, if any."""
        if sequence is self._chunked:
            self._chunked = None
        elif sequence in self._decoding:
            return self._remove_decoding(self._decoding.index(sequence))
        else:
            self._waiting.remove(sequence)
        return None

    def discard(self, sequences: tuple[Sequence, ...]) -> None:
        """Forget sequences of one run that failed: the chunked one, or the last of the decoding ones."""
        if self._chunked in sequences:
            self._chunked = None
        self._decoding = [each for each in self._decoding if each not in sequences]

    def clear(self) -> tuple[Sequence, ...]:
        """Forget everyone. Returns who was there."""
        everyone = self.everyone()
        self._waiting.clear()
        self._decoding.clear()
        self._chunked = None
        return everyone

    def _take(self, sequence_ids: tuple[str, ...]) -> list[Sequence]:
        taken = {each.sequence_id: each for each in self._waiting if each.sequence_id in sequence_ids}
        self._waiting = deque(each for each in self._waiting if each.sequence_id not in taken)
        return [taken[sequence_id] for sequence_id in sequence_ids]

    def _remove_decoding(self, row: int) -> tuple[int, int, int] | None:
        last = self._decoding.pop()
        if row == len(self._decoding):
            return None
        self._decoding[row] = last
        return (len(self._decoding), row, last.computed)
