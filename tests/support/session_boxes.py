"""Boxes over one folder, as the daemons of one state folder after each other, and what was read of their answers."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.messages.generation import Finished, Message, StreamEvent, TokenText
from autoglmd.messages.sessions import SessionKey
from tests.support.session_box import Box

KEY = SessionKey("local", "s")
Open = Callable[..., Box]


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, one after the other."""
    boxes: list[Box] = []

    def make(name: str = "tiny-int8", **sessions: Any) -> Box:
        boxes.append(Box(tmp_path / "box", name, SessionsConfig(journal_seconds=0.01, **sessions)))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.stop()


def end_of(events: list[StreamEvent]) -> Finished:
    """The last event."""
    assert isinstance(events[-1], Finished)
    return events[-1]


def said(box: Box) -> tuple[Message, ...]:
    """What the session remembers."""
    told = box.book.find(KEY)
    assert told is not None
    return told.messages


def pieces(events: list[StreamEvent]) -> list[TokenText]:
    """The pieces of text."""
    return [event for event in events if isinstance(event, TokenText)]
