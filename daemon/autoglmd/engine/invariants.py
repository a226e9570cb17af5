"""What must hold of a scheduler between two steps. Each check returns every violation, in words."""

from collections import Counter

from autoglmd.engine.plan import Limits
from autoglmd.engine.scheduler import Scheduler


def violations(scheduler: Scheduler, limits: Limits) -> list[str]:
    """Judge a scheduler; an empty list means that it is sound."""
    found = _identity(scheduler) + _capacity(scheduler, limits)
    for each in scheduler.decoding:
        found += _decoding(each.sequence_id, each.computed, each.prefill_total, len(each.output_ids))
        if each.computed > each.request.promised_tokens:
            found.append(f"{each.sequence_id} holds {each.computed} tokens, promised {each.request.promised_tokens}")
    if scheduler.chunked and not scheduler.chunked.prefill_left:
        found.append(f"{scheduler.chunked.sequence_id} is prefilled and still in chunks")
    return found


def _identity(scheduler: Scheduler) -> list[str]:
    counts = Counter(each.sequence_id for each in scheduler.everyone())
    return [f"{sequence_id} is there {count} times" for sequence_id, count in counts.items() if count > 1]


def _capacity(scheduler: Scheduler, limits: Limits) -> list[str]:
    found = []
    promised = scheduler.view().promised_tokens
    if scheduler.rows_in_use > limits.rows:
        found.append(f"{scheduler.rows_in_use} sequences in {limits.rows} rows")
    if scheduler.chunked and not len(scheduler.decoding) <= scheduler.chunked_row < limits.rows:
        found.append(f"row {scheduler.chunked_row} is the prompt's in chunks, and {len(scheduler.decoding)} decode")
    if promised > limits.kv_tokens:
        found.append(f"{promised} tokens promised of {limits.kv_tokens}")
    return found


def _decoding(sequence_id: str, computed: int, prefill_total: int, outputs: int) -> list[str]:
    # The prefill draws one token; each decode feeds the last one drawn and draws another.
    expected = prefill_total + outputs - 1
    return [] if computed == expected else [f"{sequence_id} holds {computed} tokens and should hold {expected}"]
