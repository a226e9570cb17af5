"""The daemons that the benchmarks wire otherwise: what clients see of them is the product's."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from benchmarks.daemon_process import EngineChoice, Home, daemon
from benchmarks.sessions import serial_daemon, stirring_daemon
from benchmarks.sessions.page_cache import drop
from benchmarks.sessions.returning import serve_all
from benchmarks.sessions.turns import Answer, talking
from benchmarks.settings import Settings
from openglm import Client
from tests.support.fixture_models import FOLDER

CHOICE = EngineChoice(rows=2, context_tokens=256)
LIMIT_SECONDS = 30


def converse(folder: Path, module: str) -> list[Answer]:
    """Two turns of a session, with a restart between."""
    settings, home = Settings(work=folder), Home(folder / "home", memory_bytes=0, module=module, prepare=False)
    answers = []
    for text in ("turn on the light", "and again"):
        with daemon(settings, FOLDER / "tiny-int8", CHOICE, home=home) as running, talking(running.socket) as ask:
            answers.append(ask(text, "s", 6))
        drop(home.folder / "sessions")
    return answers


@pytest.mark.parametrize("module", [serial_daemon.__name__, stirring_daemon.__name__])
def test_a_daemon_wired_otherwise_answers_as_ours_does(tmp_path: Path, module: str) -> None:
    """Token for token, with the second turn taken up from disk: else its times would be of other work."""
    ours, others = (converse(tmp_path / name, name) for name in ("autoglmd", module))
    assert [each.ids for each in others] == [each.ids for each in ours]
    assert [each.tier for each in others] == ["unspecified", "disk"]
    assert others[1].cached_tokens == ours[1].cached_tokens > 0
    assert 0 < others[1].first <= others[1].whole


def test_the_serial_daemon_tells_how_long_its_engine_thread_did_other_work(tmp_path: Path) -> None:
    """Shares of a time need all their parts."""
    home = Home(tmp_path / "home", memory_bytes=0, module=serial_daemon.__name__, prepare=False)
    turns = [(f"session {number}", "turn on the light") for number in range(6)]
    with daemon(Settings(work=tmp_path), FOLDER / "tiny-int8", CHOICE, home=home) as running:
        done = asyncio.run(serve_all(running.socket, turns, clients=3, max_tokens=4))
    assert (done.requests, done.tokens, done.cached) == (6, 24, 0)
    seconds = json.loads((home.folder / serial_daemon.DONE).read_text(encoding="utf-8"))
    assert set(seconds) == {"prepare", "send", "save"}
    assert 0 < sum(seconds.values()) < done.seconds


def test_what_is_stirred_is_saved_and_loaded_beside_the_engine(tmp_path: Path) -> None:
    """As long as the switch lies there, and counted."""
    home = Home(tmp_path / "home", memory_bytes=0, module=stirring_daemon.__name__, prepare=False)
    with daemon(Settings(work=tmp_path), FOLDER / "tiny-int8", CHOICE, home=home) as running:
        with talking(running.socket) as ask:
            ask("turn on the light", "s", 4)
        (home.folder / stirring_daemon.SWITCH).touch()
        deadline = time.monotonic() + LIMIT_SECONDS
        with Client(running.socket) as client:
            while not any(session.session_id == "stirred 1" and session.disk_bytes for session in client.sessions()):
                assert time.monotonic() < deadline
    told = json.loads((home.folder / stirring_daemon.DONE).read_text(encoding="utf-8"))
    assert told["saved"] == told["loaded"] >= 1
    assert told["load_seconds"] > 0


def test_a_daemon_tells_when_it_is_ready(tmp_path: Path) -> None:
    """As it tells a service manager, and not when somebody happens to look."""
    with daemon(
        Settings(work=tmp_path), FOLDER / "tiny-int8", CHOICE, home=Home(tmp_path / "home", prepare=False)
    ) as it:
        assert 0 < it.ready - it.started < LIMIT_SECONDS
        assert it.ready < time.perf_counter()
