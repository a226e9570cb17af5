"""What one step will do: pure arithmetic on frozen values. It needs no model and changes nothing.

A step starts fresh prompts, computes at most `chunk_tokens` prompt tokens, and decodes every sequence whose prompt is
done. The token budget bounds how long running streams wait for somebody's prompt.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a step and of what may be promised.

    Attributes:
        rows: KV rows.
        kv_tokens: KV positions that may be promised to running sequences in all.
        chunk_tokens: prompt tokens computed in one step, padding included.
        padding: share of padding at which fresh prompts are no longer batched.
    """

    rows: int
    kv_tokens: int
    chunk_tokens: int
    padding: float

    def is_long(self, entry: "Waiting") -> bool:
        """Whether a prompt is computed in chunks, alone: it takes more than the half of a step that shorts share."""
        return entry.prefill > self.chunk_tokens // 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sequence that has no row yet; `prefill` and `promised` in tokens.

    Attributes:
        is_fresh: whether the prefill starts at the prompt's first token. Only fresh prompts can share a run.
            One that is taken up in the middle of its answer has nothing left to prefill.
    """

    sequence_id: str
    prefill: int
    promised: int
    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class EngineView:
    """What the scheduler holds, frozen for planning.

    Attributes:
        decoding: how many sequences are decoding.
        chunked_left: tokens left of the one prompt that is computed in chunks; None without one.
        promised_tokens: KV positions promised to sequences with a row.
    """

    waiting: tuple[Waiting, ...]
    decoding: int
    chunked_left: int | None
    promised_tokens: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The work of one step.

    Attributes:
        chunk: tokens of the chunked prompt to compute, 0 for none.
        start_chunked: the waiting sequence whose chunked prefill starts with this step.
        batches: groups of fresh prompts, and single ones that are taken up again, each one run; they decode in the
            same step.
    """

    chunk: int = 0
    start_chunked: str | None = None
    batches: tuple[tuple[str, ...], ...] = ()

    @property
    def admitted(self) -> tuple[str, ...]:
        """Everyone who gets a row."""
        chunked = (self.start_chunked,) if self.start_chunked else ()
        return chunked + tuple(entry for batch in self.batches for entry in batch)


def plan_step(view: EngineView, limits: Limits) -> StepPlan:
    """Decide one step. First come, first served, but that a short prompt may overtake one that needs many chunks."""
    fits = _fitting(view, limits)
    start = next((entry for entry in fits if limits.is_long(entry)), None)
    shorts = [entry for entry in fits if not limits.is_long(entry)]
    chunked_left = start.prefill if start else view.chunked_left
    # A long prompt leaves half of the step to short ones while there are any.
    budget = limits.chunk_tokens if chunked_left is None else limits.chunk_tokens // 2
    taken = _within(shorts, budget)
    batches = _batched(taken, budget, limits.padding)
    used = sum(_padded(batch) for batch in batches)
    return StepPlan(
        chunk=min(chunked_left, limits.chunk_tokens - used) if chunked_left is not None else 0,
        start_chunked=start.sequence_id if start else None,
        batches=tuple(tuple(entry.sequence_id for entry in batch) for batch in batches),
    )


def can_ever_fit(promised_tokens: int, limits: Limits, context_tokens: int) -> bool:
    """Whether an empty engine could take a sequence; if not, waiting is pointless."""
    return promised_tokens <= min(context_tokens, limits.kv_tokens)


def _fitting(view: EngineView, limits: Limits) -> list[Waiting]:
    """The head of the line for which there are rows and promises. Nobody overtakes one who waits for memory."""
    rows = limits.rows - view.decoding - (view.chunked_left is not None)
    promised, chunked, fits = view.promised_tokens, view.chunked_left is not None, []
    for entry in view.waiting:
        if limits.is_long(entry) and chunked:
            continue  # one prompt in chunks at a time; this one keeps its place in the line
        if not rows or promised + entry.promised > limits.kv_tokens:
            break
        rows, promised, chunked = rows - 1, promised + entry.promised, chunked or limits.is_long(entry)
        fits.append(entry)
    return fits


def _within(entries: list[Waiting], budget: int) -> list[Waiting]:
    taken, used = [], 0
    for entry in entries:
        if used + entry.prefill > budget:
            break
        used += entry.prefill
        taken.append(entry)
    return taken


def _batched(entries: list[Waiting], budget: int, padding: float) -> list[list[Waiting]]:
    """Group by length, so that a run wastes at most `padding` of its tokens and all runs fit the budget.

    Padding is paid from what all of them together leave of the budget, so it takes nobody's place.
    """
    batches: list[list[Waiting]] = []
    spare = budget - sum(entry.prefill for entry in entries)
    fresh = [entry for entry in entries if entry.is_fresh]
    for entry in sorted(fresh, key=lambda each: -each.prefill):
        extended = [*batches[-1], entry] if batches else [entry]
        waste = extended[0].prefill - entry.prefill
        if batches and waste <= spare and _is_dense(extended, padding):
            batches[-1].append(entry)
            spare -= waste
        else:
            batches.append([entry])
    return batches + [[entry] for entry in entries if not entry.is_fresh]


def _is_dense(batch: list[Waiting], padding: float) -> bool:
    return sum(entry.prefill for entry in batch) >= _padded(batch) * (1 - padding)


def _padded(batch: list[Waiting]) -> int:
    return len(batch) * max((entry.prefill for entry in batch), default=0)
