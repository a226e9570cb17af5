"""Where a daemon is looked for."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from openglm import InvalidArgumentError, _address
from openglm._address import SYSTEM_SOCKET, default_address, default_candidates, parse_address


@pytest.mark.parametrize("text", ["/run/a.sock", "unix:/run/a.sock", "unix:///run/a.sock", Path("/run/a.sock")])
def test_every_form_of_a_socket_path_is_the_same_target(text: str | Path) -> None:
    """A path, with or without gRPC's prefix, is a Unix socket."""
    assert parse_address(text).target == "unix:/run/a.sock"


def test_a_relative_path_is_made_absolute() -> None:
    """The channel must not depend on where the program happens to be later."""
    assert parse_address("./s").target == f"unix:{Path.cwd()}/s"


@pytest.mark.parametrize("text", ["localhost:7070", "192.168.1.5:7070", "box.lan:1", "[::1]:7070"])
def test_host_and_port_are_kept(text: str) -> None:
    """A name, an IPv4 or a bracketed IPv6 address with a port."""
    assert parse_address(text).target == text


@pytest.mark.parametrize("text", ["", "host", "host:", ":70", "host:0", "host:70000", "::1:70", "a b:1", "unix:"])
def test_anything_else_names_the_field(text: str) -> None:
    """A wrong address is refused before a connection is tried."""
    with pytest.raises(InvalidArgumentError, match="address") as caught:
        parse_address(text)
    assert caught.value.field == "address"


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    """The kernel's limit is told, instead of an odd error at the first call."""
    with pytest.raises(InvalidArgumentError, match="107 bytes"):
        parse_address("/" + "x" * 107)


def test_the_limit_counts_bytes() -> None:
    """Chinese characters have three each."""
    with pytest.raises(InvalidArgumentError, match="107 bytes"):
        parse_address("/" + "套" * 36)


@pytest.mark.parametrize(
    ("text", "local"),
    [("/s", True), ("localhost:1", True), ("127.0.0.9:1", True), ("[::1]:1", True), ("10.0.0.1:1", False)],
)
def test_only_sockets_and_loopback_are_local(text: str, *, local: bool) -> None:
    """What decides whether plain text is allowed."""
    assert parse_address(text).is_local is local


def test_the_environment_names_the_only_candidate() -> None:
    """AUTOGLMD_SOCKET goes before AUTOGLMD_ADDRESS, and both before the usual places."""
    assert default_address({"AUTOGLMD_SOCKET": "/a", "AUTOGLMD_ADDRESS": "b:1"}).target == "unix:/a"
    assert default_address({"AUTOGLMD_ADDRESS": "b:1"}).target == "b:1"


def test_the_system_socket_comes_before_the_users(tmp_path: Path) -> None:
    """Without a word from the environment, the candidates are the two usual sockets."""
    places = default_candidates({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert [place.path for place in places] == [SYSTEM_SOCKET, tmp_path / "autoglmd" / "autoglmd.sock"]


def test_the_first_socket_that_somebody_answers_on_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that a crashed daemon of the system's left behind hides nobody's own; if none answers, it is named."""
    left_behind = tmp_path / "system.sock"
    monkeypatch.setattr(_address, "SYSTEM_SOCKET", left_behind)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with listener(left_behind):
        pass
    assert default_address(environ).path == left_behind
    own = tmp_path / "autoglmd" / "autoglmd.sock"
    with listener(own):
        assert default_address(environ).path == own


@contextlib.contextmanager
def listener(path: Path) -> Iterator[None]:
    """Somebody who answers there, and leaves the socket's file behind."""
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_a_runtime_folder_that_others_can_enter_is_not_looked_at(tmp_path: Path, mode: int) -> None:
    """Whoever can write there could listen in the daemon's place."""
    tmp_path.chmod(mode)
    assert [place.path for place in default_candidates({"XDG_RUNTIME_DIR": str(tmp_path)})] == [SYSTEM_SOCKET]


def test_another_users_runtime_folder_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root has it in its environment behind `sudo -E`."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert [place.path for place in default_candidates({"XDG_RUNTIME_DIR": str(tmp_path)})] == [SYSTEM_SOCKET]


@pytest.mark.parametrize("folder", ["", "relative", "/nowhere/at/all", "/" + "x" * 300])
def test_a_runtime_folder_that_is_none_is_not_looked_at(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unset, relative, which counts as unset, not there, or a name that the kernel refuses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir(mode=0o700)
    assert [place.path for place in default_candidates({"XDG_RUNTIME_DIR": folder})] == [SYSTEM_SOCKET]
