"""Saves turns, and takes some back, in a child process; kills it at a random moment, and looks at what is left.

    python -m tests.support.session_killer FOLDER KILLS SEED plain|sealed

Prints one JSON object: how many kills there were, how many turns were saved, and what was wrong, one text each. It runs
in a process of its own, without threads, so that it may fork.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.cut import until_turn
from autoglmd.sessions.log import Found
from autoglmd.sessions.quota import Bounds
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.store import SessionStore
from tests.support.conversations import MODEL, empty, ids_at, kv_at, mark_of, turn_after
from tests.support.seals import SEAL_NAMES, SEALS
from tests.support.session_stores import store_in

SESSIONS = 3
LONGEST_LIFE_SECONDS = 0.08
REWINDS = 0.1
# So small that sessions are evicted now and then; each is let go of on disk while it is being written anew.
BOUNDS = Bounds(disk_bytes=24_000, ttl_seconds=1e9)


def live(folder: Path, seal: Seal, journal: int, chance: random.Random) -> None:
    """Save turn after turn until killed. Each line that is written tells what is so from then on."""
    store = open_store(folder, seal)
    store.reconcile()
    while True:
        key = SessionKey("local", str(chance.randrange(SESSIONS)))
        told = on_disk(store, key)
        if told.turns and chance.random() < REWINDS:
            cut = until_turn(told, chance.randrange(told.turns))
            # Before it is done: from here on the turns behind it may be gone.
            os.write(journal, f"{key.session_id} {cut.turns}\n".encode())
            store.save(cut)
            continue
        turn, block = turn_after(told, f"{key.session_id} says {told.turns}", tokens=chance.randrange(2, 200))
        store.save(told.after(turn).having(block))
        os.write(journal, f"{key.session_id} {turn.number}\n".encode())
        before = {entry.session_id for entry in store.catalog.everything()}
        os.write(journal, b"tidy 1\n")
        store.tidy()
        for gone in before - {entry.session_id for entry in store.catalog.everything()}:
            os.write(journal, f"{gone} 0\n".encode())
        os.write(journal, b"tidy 0\n")


def open_store(folder: Path, seal: Seal) -> SessionStore:
    """As a daemon that starts."""
    return store_in(folder, bounds=BOUNDS, seal=seal)


def on_disk(store: SessionStore, key: SessionKey) -> Conversation:
    """A session as it is found, or a new one."""
    found = store.load(key, MODEL)
    return found.conversation if isinstance(found, Found) else empty(key)


def wrongs(folder: Path, seal: Seal, told_of: dict[str, int]) -> list[str]:
    """What is not as it must be after a kill; `told_of` has the turns that were acknowledged, by session."""
    store = open_store(folder, seal)
    store.reconcile()
    entries = {entry.session_id: entry for entry in store.catalog.everything()}
    found = []
    for number in map(str, range(SESSIONS)):
        told = on_disk(store, SessionKey("local", number))
        if not _is_sound(told):
            found.append(f"session {number} holds what nobody said")
        # In the middle of tidying it may have gone, and nobody could tell.
        may_be_gone = told_of.get("tidy", 0) and not told.turns
        if told.turns < told_of.get(number, 0) and not may_be_gone:
            found.append(f"session {number} has {told.turns} turns, and {told_of[number]} were acknowledged")
        if (entries[number].turns if number in entries else 0) != told.turns:
            found.append(f"the catalog disagrees on session {number}")
        told_of[number] = told.turns
    told_of["tidy"] = 0
    store.close()
    return found


def _is_sound(told: Conversation) -> bool:
    """Whether every word, token, key and value is this session's, and at its place."""
    session, mark = told.key.session_id, mark_of(told.key)
    questions = [message.content for message in told.messages[::2]]
    kv = b"".join(bytes(block.data[: block.tokens * MODEL.kv_bytes_per_token]) for block in told.blocks)
    return (
        questions == [f"{session} says {number}" for number in range(told.turns)]
        and [message.content[::-1] for message in told.messages[1::2]] == questions
        and told.ids == ids_at(mark, 0, len(told.ids))
        and kv == kv_at(mark, 0, told.kv_tokens)
    )


def main() -> None:
    """Kill as often as asked."""
    folder, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))  # noqa: S311 - for moments, not secrets
    seal = dict(zip(SEAL_NAMES, SEALS, strict=True))[sys.argv[4]]
    problems: list[str] = []
    told_of: dict[str, int] = {}
    saved, longest = 0, LONGEST_LIFE_SECONDS
    for number in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            live(folder, seal, writing, random.Random(number))  # noqa: S311 - as above
        os.close(writing)
        # It is killed at whatever moment that is.
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading) as lines:
            words = [line.split() for line in lines if line.endswith("\n")]
        saved += sum(session != "tidy" and turn != "0" for session, turn in words)
        if saved < 2 * number:
            # A busy machine: most children would be killed before they begin.
            longest *= 1.2
        told_of |= {session: int(turn) for session, turn in words}
        problems += [f"kill {number}: {problem}" for problem in wrongs(folder, seal, told_of)]
    print(json.dumps({"kills": kills, "saved": saved, "problems": problems}))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
