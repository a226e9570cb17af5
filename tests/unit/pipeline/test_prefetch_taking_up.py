"""Prefetching of answers that are taken up: a slow disk is no end of them."""

from autoglmd.errors.availability import UnavailableError
from autoglmd.messages.generation import GenerationRequest, SamplingParams, TextPrompt
from autoglmd.messages.sessions import SessionKey
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.taking_up import TakingUp
from tests.unit.pipeline.test_prefetch import LIMIT_SECONDS
from tests.unit.pipeline.test_prefetch_sessions import Rig


def test_who_takes_an_answer_up_may_try_again_when_the_disk_takes_too_long() -> None:
    """It is there, and can be told in a moment: it must not be said to be gone."""
    rig, key = Rig(1), SessionKey("local", "cold")
    rig.disk.hang("cold")
    asked = GenerationRequest("late", "", TextPrompt(""), SamplingParams(), None, (), False, None, 0.0, "", key)
    told: list[Prepared | Exception] = []

    def answer(result: Prepared | Exception) -> None:
        told.append(result)
        rig.answered.release()

    rig.prefetcher.put(Job(asked, "late", answer, taking_up=TakingUp(0, "", lambda _: None)))
    rig.disk.wait_reads(1)
    rig.pass_limit()
    assert rig.answered.acquire(timeout=LIMIT_SECONDS)
    assert isinstance(told[0], UnavailableError)
    assert "Try again" in told[0].message
    rig.disk.gates["cold"].set()
    rig.prefetcher.stop(LIMIT_SECONDS)
