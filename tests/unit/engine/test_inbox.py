"""The line of commands between other threads and the engine's."""

import threading

from autoglmd.engine.inbox import Cancel, Command, Inbox, Ping, Stop
from autoglmd.messages.generation import FinishReason

LIMIT_SECONDS = 5


def test_commands_come_out_once_and_in_order() -> None:
    """Everything that is there is taken in one go."""
    inbox = Inbox()
    put: list[Command] = [Ping(), Cancel("a", FinishReason.CANCELLED), Stop()]
    for command in put:
        inbox.put(command)
    assert inbox.take(wait=True) == tuple(put)
    assert inbox.take(wait=False) == ()


def test_a_waiting_reader_is_woken() -> None:
    """The engine sleeps until somebody has something to say."""
    inbox = Inbox()
    taken: list[tuple[Command, ...]] = []
    reader = threading.Thread(target=lambda: taken.append(inbox.take(wait=True)))
    reader.start()
    inbox.put(Ping())
    reader.join(LIMIT_SECONDS)
    assert taken == [(Ping(),)]


def test_nothing_is_lost_between_many_senders() -> None:
    """Commands of several threads all arrive, each thread's in its own order."""
    inbox = Inbox()

    def send(name: str) -> None:
        for number in range(200):
            inbox.put(Cancel(f"{name}{number}", FinishReason.STOP))

    senders = [threading.Thread(target=send, args=(name,)) for name in "abc"]
    for sender in senders:
        sender.start()
    got: list[str] = []
    while len(got) < 600:
        got += [command.sequence_id for command in inbox.take(wait=True) if isinstance(command, Cancel)]
    for name in "abc":
        assert [entry for entry in got if entry[0] == name] == [f"{name}{i}" for i in range(200)]


def test_a_closed_inbox_gives_up_what_is_left_and_takes_nothing_more() -> None:
    """After closing, the sender is told that nobody reads."""
    inbox = Inbox()
    assert inbox.put(Ping())
    assert inbox.close() == (Ping(),)
    assert not inbox.put(Stop())
    assert inbox.take(wait=False) == ()
