"""The key: where it comes from, what it looks like, and whom it is refused from."""

import base64
import errno
import os
from pathlib import Path

import pytest

from autoglmd.errors.base import ConfigError
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.key import CREDENTIAL, configured_seal, make_key_file, seal_of_file
from tests.support.seals import KEY_TEXT, SEALED

KEY = bytes.fromhex(KEY_TEXT)
RAW = bytes(range(200, 232))
NAME = SessionKey("local", "home")


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    """A file with these permissions."""
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content",
    [
        KEY_TEXT.encode(),
        KEY_TEXT.upper().encode() + b"\n",
        base64.b64encode(KEY),
        base64.b64encode(KEY) + b"\n",
    ],
)
def test_a_key_is_taken_in_hexadecimal_and_in_base64(tmp_path: Path, content: bytes) -> None:
    """As people and `openssl rand` write it, with one line's end or without."""
    assert seal_of_file(key_file(tmp_path, content)).name(NAME) == SEALED.name(NAME)


def test_a_key_is_taken_as_it_is(tmp_path: Path) -> None:
    """32 bytes, as of /dev/urandom; a line's end may be one of them."""
    seals = [seal_of_file(key_file(tmp_path, content)) for content in (RAW, RAW[:-1] + b"\n", RAW.hex().encode())]
    assert seals[0].name(NAME) == seals[2].name(NAME) != seals[1].name(NAME)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        RAW[:-1],
        RAW + b"\n",
        KEY_TEXT[:-1].encode(),
        KEY_TEXT[:-1].encode() + b"g",
        KEY_TEXT.encode() + b"\n\n",
        b" " + KEY_TEXT.encode(),
        KEY_TEXT[:32].encode(),
        base64.b64encode(KEY)[:-1],
        base64.urlsafe_b64encode(bytes(range(224, 256))),
        b"correct horse battery staple 123",
        RAW * 1000,
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """With how to make one. A password is none, though it has 32 characters."""
    with pytest.raises(ConfigError, match="make-session-key"):
        seal_of_file(key_file(tmp_path, content))


@pytest.mark.parametrize("content", [b"0" * 64, b"ab" * 32, RAW[:8] * 4, base64.b64encode(RAW[:11] * 2 + RAW[:10])])
def test_a_key_that_was_not_drawn_is_refused(tmp_path: Path, content: bytes) -> None:
    """Zeros and patterns are what somebody put in to try it out."""
    with pytest.raises(ConfigError, match="nobody drew at random"):
        seal_of_file(key_file(tmp_path, content))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601, 0o777])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that mends it."""
    with pytest.raises(ConfigError, match="chmod 600"):
        seal_of_file(key_file(tmp_path, KEY_TEXT.encode(), mode))


def test_a_key_that_is_not_there_or_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path, "this is none"), (tmp_path / "pipe", "none")):
        with pytest.raises(ConfigError, match=words):
            seal_of_file(path)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He could exchange it. Root's is everybody's, and root, who checks the configuration, may read the daemon's."""
    path = key_file(tmp_path, KEY_TEXT.encode())
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert seal_of_file(path).hides
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    assert seal_of_file(path).hides
    if owner == 0:
        os.chown(path, 4321, -1)
        assert seal_of_file(path).hides
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(ConfigError, match="another user"):
        seal_of_file(path)


def test_systemds_credential_is_the_key_whatever_its_mode_looks_like(tmp_path: Path) -> None:
    """With an access list for the service's user, the group's bits are that list's mask."""
    credential = tmp_path / CREDENTIAL
    credential.write_bytes(RAW)
    credential.chmod(0o440)
    assert configured_seal(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).hides


def test_two_keys_are_refused(tmp_path: Path) -> None:
    """One of them would be the wrong one."""
    (tmp_path / CREDENTIAL).write_bytes(RAW)
    with pytest.raises(ConfigError, match="two keys"):
        configured_seal(key_file(tmp_path, RAW), {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_without_a_key_nothing_is_encrypted(tmp_path: Path) -> None:
    """Also where systemd gives the service other credentials."""
    assert not configured_seal(None, {}).hides
    assert not configured_seal(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).hides
    assert configured_seal(key_file(tmp_path, RAW), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).hides


def test_a_key_that_was_made_is_its_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    """Whoever replaces a key loses what was encrypted with it."""
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        make_key_file(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert seal_of_file(path).hides
    with pytest.raises(ConfigError, match="is not replaced"):
        make_key_file(path)
    assert path.read_bytes() == content
    make_key_file(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != content


def test_half_of_a_key_is_not_in_the_way_of_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full, or lost it."""
    path = tmp_path / "key"

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(ConfigError, match="No space left"):
            make_key_file(path)
    assert not path.exists()
    make_key_file(path)
    assert seal_of_file(path).hides
