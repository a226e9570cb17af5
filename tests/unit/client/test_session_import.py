"""A session's file on its way to the daemon."""

import os
import threading
from pathlib import Path

import pytest

from openglm import InvalidArgumentError
from openglm._session_import import Upload

LIMIT_SECONDS = 10.0


def test_the_name_travels_with_the_first_piece_alone() -> None:
    """The others are bytes."""
    sent = [(message.session_id, message.data) for message in Upload("home", [b"ab", b"c"])]
    assert sent == [("home", b"ab"), ("", b"c")]


def test_when_the_call_is_over_nothing_more_is_given(tmp_path: Path) -> None:
    """Nor is it an error that the file is closed, should gRPC's thread still ask."""
    (tmp_path / "home").write_bytes(bytes(3 << 20))
    upload = Upload("home", tmp_path / "home")
    next(upload)
    upload.close()
    assert list(upload) == []
    assert upload.failure is None


def test_what_fails_is_kept_for_the_caller() -> None:
    """GRPC raises it in a thread of its own."""
    upload = Upload("home", ["text"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="bytes") as caught:
        next(upload)
    assert upload.failure is caught.value


@pytest.mark.parametrize("name", [5, "\udcff"])
def test_what_can_be_no_name_is_refused_at_once(name: str) -> None:
    """In the caller's thread and in our words, as by every other method."""
    with pytest.raises(InvalidArgumentError, match="session_id"):
        Upload(name, "/nowhere/home")


def test_a_pipe_that_is_being_read_is_closed_without_waiting(tmp_path: Path) -> None:
    """Who writes into it may take for ever."""
    path, asks, closed = tmp_path / "pipe", threading.Event(), threading.Event()
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    upload = Upload("home", path)

    def read() -> None:
        asks.set()
        list(upload)

    def close() -> None:
        upload.close()
        closed.set()

    threads = [threading.Thread(target=each, daemon=True) for each in (read, close)]
    threads[0].start()
    assert asks.wait(LIMIT_SECONDS)
    threads[1].start()
    try:
        assert closed.wait(LIMIT_SECONDS)
    finally:
        os.close(writer)
        for thread in threads:
            thread.join(LIMIT_SECONDS)
