"""The claim on a Unix socket's path."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from autoglmd.errors.base import HostError, SocketInUseError
from autoglmd.host.sockets import SOCKET_PATH_BYTES, SocketClaim, private_umask

HOLDER = """
import socket, sys, pathlib
from autoglmd.host.sockets import SocketClaim
path = pathlib.Path(sys.argv[1])
claim = SocketClaim(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(path))
listener.listen()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_claim_makes_the_folder_and_release_removes_the_socket(tmp_path: Path) -> None:
    """The lock file alone stays, for the reason that the module gives."""
    path = tmp_path / "a" / "s"
    with SocketClaim(path), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["s.lock"]


def test_a_mistyped_path_makes_no_tree(tmp_path: Path) -> None:
    """A claim makes its own folder at most."""
    with pytest.raises(HostError, match="cannot be made"):
        SocketClaim(tmp_path / "a" / "b" / "s")
    assert list(tmp_path.iterdir()) == []


def test_release_twice_does_not_take_the_next_holders_socket(tmp_path: Path) -> None:
    """Whoever stops late must not remove what is no longer his."""
    first = SocketClaim(tmp_path / "s")
    first.release()
    with SocketClaim(tmp_path / "s"), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        first.release()
        assert (tmp_path / "s").exists()


def test_a_second_claim_names_the_path_and_the_holders_pid(tmp_path: Path) -> None:
    """So that the operator knows what to stop."""
    with SocketClaim(tmp_path / "s"), pytest.raises(SocketInUseError) as caught:
        SocketClaim(tmp_path / "s")
    assert f"{tmp_path}/s: in use by a daemon with pid {os.getpid()}." in caught.value.message


def test_a_killed_holder_leaves_nothing_that_hinders_the_next(tmp_path: Path) -> None:
    """SIGKILL: no clean-up ran, the socket's file is still there."""
    path = tmp_path / "s"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(SocketInUseError, match=f"pid {holder.pid}"):
            SocketClaim(path)
        holder.send_signal(signal.SIGKILL)
    assert path.is_socket()
    SocketClaim(path).release()


def test_a_socket_that_another_program_answers_is_left_alone(tmp_path: Path) -> None:
    """It holds no lock of ours, and is alive all the same."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        with pytest.raises(SocketInUseError, match="a program that is not autoglmd"):
            SocketClaim(tmp_path / "s")
    assert (tmp_path / "s").exists()


def test_a_failed_claim_gives_its_lock_back(tmp_path: Path) -> None:
    """Trying again in the same process works once the cause is gone."""
    (tmp_path / "s").write_text("precious")
    with pytest.raises(HostError, match="not a socket"):
        SocketClaim(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"
    (tmp_path / "s").unlink()
    SocketClaim(tmp_path / "s").release()


def test_a_path_too_long_for_the_kernel_is_refused_with_the_count(tmp_path: Path) -> None:
    """In bytes, not characters."""
    long = tmp_path / ("路" * 40)
    with pytest.raises(HostError, match=rf"has {len(os.fsencode(long))} bytes .* {SOCKET_PATH_BYTES}"):
        SocketClaim(long)


def test_the_longest_path_that_the_kernel_takes_is_taken(tmp_path: Path) -> None:
    """The bound is not one off."""
    name = "s" * (SOCKET_PATH_BYTES - len(os.fsencode(tmp_path)) - 1)
    with SocketClaim(tmp_path / name), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / name))
        assert (tmp_path / name).is_socket()


def test_a_folder_that_cannot_be_made_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """Here, because a file is in the way."""
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="Choose a writable folder"):
        SocketClaim(tmp_path / "file" / "s")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """In a shared folder it could point to a file that we would cut to zero."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "s.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(HostError):
        SocketClaim(tmp_path / "s")
    assert (tmp_path / "victim").read_text() == "precious"


def test_nobody_else_gets_in_between_bind_and_grant(tmp_path: Path) -> None:
    """A socket is bound closed and opened afterwards."""
    with SocketClaim(tmp_path / "s") as claim, socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o022)
        with private_umask():
            listener.bind(str(tmp_path / "s"))
        assert os.umask(before) == 0o022
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
        claim.grant(0o660, None)
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
