"""Conversations of a real daemon, through kill -9, a stop and a start."""

import signal
from pathlib import Path

from openglm import CacheMiss, CacheTier, Client
from tests.support.daemon_process import configure, serving

TURNS = ("你好", "turn on the light", "and again")


def answers(client: Client, *turns: str) -> list[str]:
    """What the session answers, turn by turn."""
    return [
        client.chat([{"role": "user", "content": turn}], session_id="home", max_tokens=12, temperature=0).text
        for turn in turns
    ]


def test_a_conversation_goes_on_after_kill_9_and_after_a_stop(tmp_path: Path) -> None:
    """Its answers are those of a daemon that never ended."""
    quiet, box = tmp_path / "quiet", tmp_path / "box"
    for folder in (quiet, box):
        folder.mkdir()
    with serving(configure(quiet)) as daemon, Client(daemon.socket) as client:
        expected = answers(client, *TURNS)
    told = []
    for turn, end in zip(TURNS, (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL), strict=True):
        with serving(configure(box)) as daemon:
            with Client(daemon.socket) as client:
                told += answers(client, turn)
                (session,) = client.sessions()
                while not session.disk_bytes:
                    (session,) = client.sessions()
                assert session.turns == len(told)
            daemon.signal(end)
            daemon.wait_exit()
    assert told == expected
    with serving(configure(box)) as daemon, Client(daemon.socket) as client:
        said = [message.content for message in client.session("home").messages]
        assert said == [word for pair in zip(TURNS, expected, strict=True) for word in pair]
        started = client.generate(messages=[{"role": "user", "content": "x"}], session_id="home", max_tokens=1).started
        assert (started.cache_tier, started.cache_miss) == (CacheTier.DISK, CacheMiss.UNSPECIFIED)
        client.delete_session("home")
        assert client.sessions() == ()
        assert not list((box / "state").rglob("*.session"))


def test_a_second_daemon_on_one_state_folder_keeps_its_conversations_apart(tmp_path: Path) -> None:
    """Both would write over each other's. It serves, says so, and leaves nothing behind."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    configure(second)
    file = second / "autoglmd.toml"
    file.write_text(file.read_text().replace(f"{second}/state", f"{first}/state"))
    with serving(configure(first)) as daemon, serving(second, TMPDIR=str(tmp_path)) as other:
        assert other.wait_log(lambda entry: "and end with it" in entry.get("msg", ""))
        with Client(daemon.socket) as one, Client(other.socket) as two:
            assert answers(one, TURNS[0]) == answers(two, TURNS[0])
            answers(two, TURNS[1])
            assert len(one.session("home").messages) == 2
            assert len(two.session("home").messages) == 4
        other.signal(signal.SIGTERM)
        assert other.wait_exit() == 0
    assert not list(tmp_path.glob("autoglmd-sessions-*"))
