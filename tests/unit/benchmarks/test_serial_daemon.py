"""Turns between the engine's steps, as the serial daemon gives them."""

import threading

from benchmarks.sessions.serial_daemon import Turns

LIMIT_SECONDS = 10


def test_work_waits_for_its_turn_and_its_time_is_told() -> None:
    """It does not run beside whoever gives turns."""
    turns, asked, done = Turns(), threading.Event(), list[str]()
    turns.begin(asked.set)
    work = turns.one_at_a_time("save", lambda: done.append("saved"))
    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(LIMIT_SECONDS)
    assert not done
    turns.give()
    assert done == ["saved"]
    assert turns.seconds["save"] > 0
    thread.join(LIMIT_SECONDS)


def test_who_has_a_turn_need_not_wait_for_another() -> None:
    """Preparing loads, and nobody would give it a second turn meanwhile."""
    turns, asked = Turns(), threading.Event()
    turns.begin(asked.set)
    load = turns.one_at_a_time("prepare", lambda: "loaded")
    found: list[str] = []
    thread = threading.Thread(target=turns.one_at_a_time("prepare", lambda: found.append(load())))
    thread.start()
    assert asked.wait(LIMIT_SECONDS)
    turns.give()
    thread.join(LIMIT_SECONDS)
    assert found == ["loaded"]


def test_before_there_is_an_engine_nobody_waits() -> None:
    """A daemon that starts looks through its files."""
    assert Turns().one_at_a_time("save", lambda: "saved")() == "saved"
