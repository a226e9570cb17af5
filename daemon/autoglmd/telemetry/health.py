"""When to feed the watchdog: a decision on snapshots, without a thread or a clock of its own.

A daemon whose event loop turns while its engine hangs is dead to its users. So the loop feeds systemd's watchdog
only as long as every engine shows life: a working one by its steps, an idle one by answering when called, and both
by the threads that bring them work.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineBeat:
    """One engine's signs of life, taken at one moment.

    Attributes:
        busy: it has work.
        last_progress: when it last ended a step or took up work after being idle; monotonic seconds.
        answered_ping: its thread answered the previous round's ping; true if there was none.
        prefetching: the threads that tokenize for it are all there.
    """

    model: str
    busy: bool
    last_progress: float
    answered_ping: bool
    prefetching: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to feed the watchdog, and why."""

    feed: bool
    reason: str


def judge(beats: Iterable[EngineBeat], now: float, stall_seconds: float, *, saving: bool = True) -> Verdict:
    """Feed only if each engine progresses. No engine at all (still loading) is no stall.

    Args:
        beats: one per engine.
        now: monotonic seconds.
        stall_seconds: a busy engine may go this long without ending a step.
        saving: whether the threads that save conversations and answers are there. That one makes no progress is no
            reason: a disk that hangs would hang the next daemon's as well, and this one answers.
    """
    complaints = [complaint for beat in beats if (complaint := _complaint(beat, now, stall_seconds))]
    if not saving:
        complaints.append("a thread that saves conversations or answers has died")
    return Verdict(feed=not complaints, reason="; ".join(complaints) or "every engine shows life")


def _complaint(beat: EngineBeat, now: float, stall_seconds: float) -> str:
    if not beat.prefetching:
        return f"a prefetch thread of engine {beat.model!r} has died"
    if not beat.busy:
        return "" if beat.answered_ping else f"engine {beat.model!r} is idle and does not answer"
    silent_seconds = now - beat.last_progress
    if silent_seconds <= stall_seconds:
        return ""
    return (
        f"engine {beat.model!r} has work and ended no step for {silent_seconds:.1f} s; "
        f"the limit is {stall_seconds:.1f} s"
    )
