"""A request on its way to the engine."""

from collections.abc import Callable
from dataclasses import dataclass

from autoglmd.messages.generation import FinishReason, GenerationRequest
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.taking_up import TakingUp


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way to the engine.

    Attributes:
        sequence_id: what the engine calls it; the client's request_id may be used again as soon as it is free.
        answer: called once, in a prefetch thread or the one that stops it, with what the request became or why it
            cannot be served.
        cancelled: set by the event loop at any time, and before it tells the engine.
        prepared: what it is already, if it waits for a disk to say more.
        taking_up: which answer it goes on with; `None` for a fresh one.
    """

    request: GenerationRequest
    sequence_id: str
    answer: Callable[[Prepared | Exception], None]
    cancelled: FinishReason | None = None
    prepared: Prepared | None = None
    taking_up: TakingUp | None = None


def need_of(job: Job) -> SessionKey | Prepared:
    """What a disk is asked for a job that waits.

    Its session, and behind it the journal where an answer of it is taken up; or what prompts like its own begin with.
    """
    if job.prepared is not None:
        return job.prepared
    assert job.request.session is not None
    return job.request.session
