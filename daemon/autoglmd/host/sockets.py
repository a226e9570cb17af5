"""The claim on a Unix socket's path. The edge claims first, then lets its server bind.

Recovery: the claim is a lock on `SOCKET.lock`, which the kernel drops when its holder dies, however it
dies. So a socket file whose lock we get is either left over from a crash (nobody answers: we remove it) or
belongs to another program (somebody answers: we refuse). The lock file itself stays: removing it would let
two daemons lock two files of one name.
"""

import contextlib
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from autoglmd.errors.base import HostError, SocketInUseError

# sun_path of struct sockaddr_un holds 108 bytes, the last one a NUL (unix(7)).
SOCKET_PATH_BYTES = 107
PROBE_SECONDS = 1.0


class SocketClaim:
    """The sole right to listen on a Unix socket's path, from construction until `release`.

    Args:
        path: where the socket will be. Its folder is made if it is missing.

    Raises:
        SocketInUseError: another process holds the claim, or answers on the socket.
        HostError: the path is too long, is not a socket, or cannot be reached.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_length(path)
        self._lock = _lock(path)
        try:
            _remove_stale(path)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def grant(self, mode: int, group: str | None) -> None:
        """Open the bound socket to others: first its group, then its permission bits.

        Bind under `private_umask`, so that nobody gets in before this.

        Raises:
            HostError: there is no such group, or we may not give the socket to it.
        """
        try:
            if group is not None:
                os.chown(self.path, -1, group_id(self.path, group))
            self.path.chmod(mode)
        except OSError as error:
            raise HostError(
                f"{self.path}: cannot be opened to group {group!r}: {error.strerror}. Run as a member of that group."
            ) from error

    def release(self) -> None:
        """Remove the socket and give the path back. A second call does nothing."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._lock)
        self._lock = -1


def check_length(path: Path) -> None:
    """Raises HostError if the path does not fit into a Unix socket's address."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise HostError(
            f"{path}: the path has {length} bytes and a Unix socket's may have {SOCKET_PATH_BYTES}. "
            "Choose a shorter one with server.socket or --socket."
        )


def group_id(path: Path, group: str) -> int:
    """The number of the group that the socket at `path` is to belong to. Raises HostError if there is none."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise HostError(f"{path}: this box has no group {group!r}. Create it or change server.socket_group.") from None


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """What is created inside belongs to its owner alone.

    The umask is the process's: keep the block to one call. What another thread creates meanwhile comes out
    stricter than meant, never laxer.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _lock(path: Path) -> int:
    """An open, locked descriptor of `PATH.lock`, with our pid in it for whoever comes second."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        # Its own folder at most: a mistyped path must not leave a tree behind.
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HostError(
            f"{lock_path}: cannot be made: {error.strerror}. Choose a writable folder with server.socket or --socket."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise _in_use(path, f"a daemon with pid {holder}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _remove_stale(path: Path) -> None:
    """Remove a dead predecessor's socket. Whatever else is in the way is an error, and stays."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"{path}: there is something that is not a socket. Move it away or choose another path.")
    if _somebody_answers(path):
        raise _in_use(path, "a program that is not autoglmd")
    path.unlink()


def _somebody_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # A full backlog, a datagram socket, no permission: somebody is there, or we may not know.
            return True
    return True


def _in_use(path: Path, by_whom: str) -> SocketInUseError:
    return SocketInUseError(f"{path}: in use by {by_whom}. Stop it, or choose another path with --socket.")
