"""A box with a real systemd: Debian in a container of systemd-nspawn, gone when it is left.

Needs root, and Debian's packages systemd-container and mmdebstrap.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
HIERARCHIES = ("systemd", "unified")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "sudo", "python3", "python3-venv")
RELEASE = "bookworm"
OPERATOR = "olga"
"""A person who may use sudo."""
LIMIT_SECONDS = 120.0
_LOOK_SECONDS = 0.05


def missing_tools() -> str:
    """What keeps such a box from being made here; empty: nothing."""
    tools = [name for name in ("systemd-nspawn", "mmdebstrap", "nsenter") if shutil.which(name) is None]
    if os.geteuid() != 0:
        return "it needs root"
    return f"apt-get install systemd-container mmdebstrap: {', '.join(tools)} missing" if tools else ""


def make_root(folder: Path) -> Path:
    """Debian in a folder, with somebody in it who may use sudo. Made once."""
    if folder.exists():
        return folder
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    packages = f"--include={','.join(PACKAGES)}"
    person = f'chroot "$1" useradd --create-home --shell /bin/bash {OPERATOR}'
    trust = f'echo "{OPERATOR} ALL=(ALL) NOPASSWD: ALL" > "$1/etc/sudoers.d/{OPERATOR}"'
    hooks = [f"--customize-hook={hook}" for hook in (person, trust)]
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, *hooks, RELEASE, partial], check=True)
    partial.rename(folder)
    return folder


class RefusedError(Exception):
    """A command on the box that failed, with what it said."""


class SystemdBox:
    """A box that runs. What is written in it is in memory."""

    def __init__(self, leader: int) -> None:
        """`leader`: its first process, as we number it."""
        self._leader = leader

    def run(self, command: str, user: str = OPERATOR) -> str:
        """What a shell command says to somebody who has just logged in. Raises RefusedError, with what it says."""
        done = subprocess.run(self.words(command, user), capture_output=True, text=True, timeout=LIMIT_SECONDS)
        if done.returncode:
            raise RefusedError(f"{user}$ {command}\n{done.stdout}{done.stderr}exit status {done.returncode}")
        return done.stdout

    def words(self, command: str, user: str = OPERATOR) -> list[str]:
        """The same as a command line of ours."""
        return ["nsenter", "-t", str(self._leader), "-a", "--", "runuser", "-l", user, "-c", f"set -e\n{command}"]

    def wait_until(self, command: str) -> None:
        """Until it succeeds."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while subprocess.run(self.words(command, "root"), capture_output=True).returncode:
            assert time.monotonic() < deadline, f"never true: {command}"
            # It is another box's state, which has no event of ours.
            time.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def booted(root: Path, name: str, binds: Sequence[tuple[Path, str]] = ()) -> Iterator[SystemdBox]:
    """A box over a folder that it does not change. `binds`: what it sees of ours, and where."""
    for hierarchy in HIERARCHIES:
        (CGROUPS / hierarchy / name).mkdir(parents=True, exist_ok=True)
    seen = [f"--bind-ro={ours}:{theirs}" for ours, theirs in binds]
    # In a cgroup of its own, which its systemd may divide.
    enter = "; ".join(f'echo 0 > "{CGROUPS}/{hierarchy}/{name}/cgroup.procs"' for hierarchy in HIERARCHIES)
    words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={name}", "--private-network"]
    words += ["--link-journal=no", "--console=pipe", "--volatile=overlay", *seen, "-D", str(root), "--boot"]
    nspawn = subprocess.Popen(
        ["sh", "-c", f'{enter}; exec "$@"', "sh", *words],
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        box = SystemdBox(_leader_of(nspawn))
        # A unit that needs what is not here, as a console, is no matter of ours.
        box.wait_until("systemctl is-system-running | grep -qE 'running|degraded'")
        yield box
    finally:
        nspawn.send_signal(signal.SIGTERM)
        try:
            nspawn.wait(LIMIT_SECONDS)
        finally:
            nspawn.kill()


def _leader_of(nspawn: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        assert nspawn.poll() is None, "systemd-nspawn has ended; what it says is above"
        for child in psutil.Process(nspawn.pid).children():
            if child.name() == "systemd":
                return child.pid
        # As above.
        time.sleep(_LOOK_SECONDS)
    raise AssertionError("no systemd came up")
