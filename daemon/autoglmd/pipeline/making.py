"""What becomes of a request on its way to the engine: at once, with what a disk had for it, or without."""

from collections.abc import Callable
from typing import TypeVar

from autoglmd.messages.sessions import CacheMiss, SessionKey
from autoglmd.pipeline.job import Job, need_of
from autoglmd.pipeline.preparation import Prepared, Recalled, prepare
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.recall import Recall
from autoglmd.pipeline.taking_up import not_now, take_up

Result = TypeVar("Result")
Brought = Recalled | Prepared | Exception
"""What a disk had for a job: its session, or what its prompt became with what others begin with alike."""


class Maker:
    """One model's. It has neither threads nor a lock; its methods are safe from any thread, and raise nothing."""

    def __init__(self, rules: PromptRules, recall: Recall) -> None:
        """Make it.

        Args:
            rules: what the model makes of prompts.
            recall: finds conversations, and what prompts have in common.
        """
        self._rules = rules
        self._recall = recall
        self._sharing = recall.sharing

    def at_once(self, job: Job, brought: Brought | None) -> Prepared | Exception | None:
        """What a job becomes, with what a disk had if it was asked. `None`: first it is to be asked, see `need_of`."""
        return attempted(lambda: self._at_once(job, brought))

    def from_disk(self, job: Job, need: SessionKey | Prepared) -> Brought:
        """What a disk has for a job. May take as long as a disk does."""
        return attempted(lambda: self._from_disk(job, need))

    def without_disk(self, job: Job) -> Brought:
        """What there is in place of what a disk does not give in time."""
        need = need_of(job)
        return need if isinstance(need, Prepared) else attempted(lambda: self._recall.unreadable(need))

    def _at_once(self, job: Job, brought: Brought | None) -> Prepared | Exception | None:
        session = job.request.session
        if brought is None and job.taking_up is not None:
            # Of an answer, the journal is asked as well.
            return None
        if brought is None and session is not None:
            brought = self._recall.in_memory(session)
            if brought is None:
                return None
        if not isinstance(brought, Recalled | None):
            return brought
        prepared = self._prepared(job, brought)
        # Whoever has waited for a disk in vain does not wait a second time.
        is_given_up = brought is not None and brought.cache.miss is CacheMiss.UNREADABLE
        if is_given_up or self._sharing is None or not self._sharing.may_be_on_disk(prepared):
            return prepared
        job.prepared = prepared
        return None

    def _prepared(self, job: Job, recalled: Recalled | None) -> Prepared:
        """With what is known in memory of other prompts that begin alike."""
        if job.taking_up is not None and recalled is not None:
            raise not_now(recalled.conversation.key, "the disk does not give it in time")
        prepared = prepare(job.request, job.sequence_id, self._rules, recalled)
        return prepared if self._sharing is None else self._sharing.from_memory(prepared, job.request)

    def _from_disk(self, job: Job, need: SessionKey | Prepared) -> Brought:
        if isinstance(need, Prepared):
            return need if self._sharing is None else self._sharing.from_disk(need)
        recalled = self._recall.on_disk(need)
        if job.taking_up is None:
            return recalled
        return take_up(job.taking_up, job.request, job.sequence_id, self._rules, recalled)


def attempted(work: Callable[[], Result]) -> Result | Exception:
    """What comes of it, be it an error: that is this request's answer."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    except BaseException as error:  # noqa: BLE001 - a tokenizer in Rust panics with one; the next job is not to blame
        failure = RuntimeError("tokenizing broke down")
        failure.__cause__ = error
        return failure
