"""The watchdog's judgement."""

from dataclasses import replace

import pytest

from autoglmd.telemetry.health import EngineBeat, judge

NOW = 1000.0
STALL_SECONDS = 10.0


def beat(model: str = "a", busy: bool = True, silent: float = 0.0, answered_ping: bool = True) -> EngineBeat:
    """An engine that was last heard of `silent` seconds ago."""
    return EngineBeat(model, busy, NOW - silent, answered_ping)


@pytest.mark.parametrize(
    ("beats", "feed"),
    [
        ([], True),
        ([beat()], True),
        ([beat(silent=10.0)], True),
        ([beat(silent=10.1)], False),
        ([beat(busy=False, silent=9999)], True),
        ([beat(busy=False, answered_ping=False)], False),
        # In the middle of a long step it cannot answer, and need not.
        ([beat(answered_ping=False)], True),
        ([beat("a"), beat("b", silent=11)], False),
        ([replace(beat(), prefetching=False)], False),
    ],
)
def test_the_watchdog_is_fed_only_if_every_engine_shows_life(beats: list[EngineBeat], feed: bool) -> None:
    """Working ones by steps, idle ones by answers."""
    assert judge(beats, NOW, STALL_SECONDS).feed is feed


def test_a_refusal_names_each_engine_and_what_it_does_not_do() -> None:
    """For the log, and for `systemctl status`."""
    verdict = judge([beat("a", silent=12.34), beat("b", busy=False, answered_ping=False)], NOW, STALL_SECONDS)
    assert verdict.reason == (
        "engine 'a' has work and ended no step for 12.3 s; the limit is 10.0 s; engine 'b' is idle and does not answer"
    )


def test_a_thread_that_saves_conversations_and_has_died_is_a_reason() -> None:
    """It never comes back by itself; one that is merely slow is no reason, and is not asked about."""
    assert judge([], 0.0, 1.0).feed
    verdict = judge([], 0.0, 1.0, saving=False)
    assert not verdict.feed
    assert "saves conversations" in verdict.reason
