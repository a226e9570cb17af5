"""Conversations that are encrypted: answered as others are, and by nobody who has not the key."""

from pathlib import Path

import pytest

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.base import ConfigError
from autoglmd.messages.sessions import CacheTier
from autoglmd.sessions.key import make_key_file
from tests.support.session_box import SEEDED, USUAL, Box, ids_of, started

TURNS = ("你好", "turn on the light", "and again, 好吗?")


@pytest.fixture(name="with_key")
def make_key(tmp_path: Path) -> SessionsConfig:
    """A configuration with a key of its own, in which nothing stays in memory."""
    make_key_file(tmp_path / "key")
    return SessionsConfig(memory_bytes=0, key_file=tmp_path / "key")


async def answers(folder: Path, name: str, sessions: SessionsConfig) -> list[tuple[int, ...]]:
    """What a session answers, with another daemon for each turn, and that each goes on from the disk."""
    answered = []
    for number, text in enumerate(TURNS):
        box = Box(folder, name, sessions)
        try:
            events = await box.ask(text, "s", sampling=SEEDED)
        finally:
            await box.stop()
        assert started(events).cache.tier is (CacheTier.DISK if number else None)
        answered.append(ids_of(events))
    return answered


@pytest.mark.parametrize("name", ["tiny-fp32", "tiny-int8"])
async def test_a_session_with_a_key_answers_as_one_without(tmp_path: Path, with_key: SessionsConfig, name: str) -> None:
    """Byte for byte, after a restart for each turn; and what was said is in no file."""
    expected = await answers(tmp_path / "plain", name, USUAL)
    assert await answers(tmp_path / "sealed", name, with_key) == expected
    files = [path.read_bytes() for path in (tmp_path / "sealed" / "sessions").rglob("*") if path.is_file()]
    assert len(files) > 2
    assert not any(word in content for content in files for word in (b"turn on the light", b"local", b'"s"'))


async def test_a_daemon_without_the_key_does_not_start_and_one_with_it_goes_on(
    tmp_path: Path, with_key: SessionsConfig
) -> None:
    """Whether it has none or another."""
    make_key_file(tmp_path / "other")
    for _ in range(2):
        box = Box(tmp_path, "tiny-int8", with_key)
        await box.ask("hello", "s")
        await box.stop()
        for sessions in (USUAL, SessionsConfig(key_file=tmp_path / "other")):
            with pytest.raises(ConfigError, match="key"):
                Box(tmp_path, "tiny-int8", sessions)
    box = Box(tmp_path, "tiny-int8", with_key)
    (session,) = box.book.sessions("local")
    assert (session.session_id, session.turns) == ("s", 2)
    await box.stop()
