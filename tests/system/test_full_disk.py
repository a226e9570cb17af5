"""A real daemon whose disk is full: what may be told of it, and what makes room."""

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openglm import Client
from tests.support.daemon_process import DaemonProcess, configure, eventually, serving

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root")

NAMES = ("a", "b", "c")
SESSION_BYTES = 1 << 18


class SmallDisk:
    """Eight megabytes, which can be full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def enlarge_sessions(self) -> None:
        """As large as those of a model that is not tiny: what lies behind the last record is not read."""
        for file in self.folder.rglob("*.session"):
            with file.open("ab") as end:
                end.write(bytes(SESSION_BYTES))

    def make_room(self) -> None:
        """Half of it."""
        self._filler.unlink()


@pytest.fixture(name="disk")
def make_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def daemon_on(disk: SmallDisk, tmp_path: Path) -> Iterator[tuple[DaemonProcess, Client]]:
    """A daemon whose state lies there."""
    box = configure(tmp_path)
    file = box / "autoglmd.toml"
    file.write_text(file.read_text().replace(f"{box}/state", f"{disk.folder}/state"))
    with serving(box) as daemon, Client(daemon.socket) as client:
        yield daemon, client


def say(client: Client, name: str) -> float:
    """One more turn of a session; for how long the disk has taken none, as the daemon says."""
    text = f"turn on the light in room {name}, " * 3
    told = client.chat([{"role": "user", "content": text}], session_id=name, max_tokens=12, temperature=0)
    return told.started.unsaved_seconds


async def saved(client: Client, count: int) -> None:
    """Until so many sessions are on disk."""

    async def are_saved() -> bool:
        return sum(session.disk_bytes > 0 for session in client.sessions()) == count

    await eventually(are_saved)


def names(client: Client) -> set[str]:
    """What is listed."""
    return {session.session_id for session in client.sessions()}


async def test_on_a_full_disk_sessions_are_listed_shown_and_deleted(disk: SmallDisk, tmp_path: Path) -> None:
    """Also by a daemon that starts on it: to delete one is what makes room."""
    with daemon_on(disk, tmp_path) as (daemon, client):
        for name in NAMES:
            say(client, name)
        await saved(client, len(NAMES))
        disk.enlarge_sessions()
        disk.fill()
        client.delete_session("a")
        assert names(client) == {"b", "c"}
        disk.fill()
        daemon.signal(signal.SIGKILL)
        daemon.wait_exit()
    disk.fill()
    with daemon_on(disk, tmp_path) as (_, client):
        await saved(client, 2)
        assert names(client) == {"b", "c"}
        assert [message.role for message in client.session("b").messages] == ["user", "assistant"]
        client.delete_session("b")
        assert names(client) == {"c"}
    with daemon_on(disk, tmp_path) as (_, client):
        assert names(client) == {"c"}
        with pytest.raises(OSError, match="No space") as full:
            (disk.folder / "more").write_bytes(bytes(8 << 20))
        assert full.value.errno == errno.ENOSPC


async def test_who_talks_in_a_session_that_a_full_disk_does_not_take_is_told(disk: SmallDisk, tmp_path: Path) -> None:
    """From the first answer behind a refused save; when there is room, all of it is saved, and nothing is said."""
    with daemon_on(disk, tmp_path) as (daemon, client):
        assert say(client, "early") == 0.0
        await saved(client, 1)
        disk.fill()
        say(client, "late")
        daemon.wait_log(lambda entry: "could not be saved and is tried again" in entry.get("msg", ""))
        told = [say(client, "late"), say(client, "late")]
        assert told[-1] > 0.0
        assert names(client) == {"early", "late"}
        disk.make_room()
        await saved(client, 2)
        assert say(client, "late") == 0.0
        assert client.session("late").turns[-1].number == 4
