"""A session's file on its way to the daemon."""

from pathlib import Path

import pytest

from openglm._session_import import Upload


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
