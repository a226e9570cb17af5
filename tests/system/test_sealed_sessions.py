"""Keys of a real daemon's conversations: in a file, from systemd, made and changed on the command line."""

import os
import subprocess
import sys
from pathlib import Path

from autoglmd.sessions.key import CREDENTIAL
from openglm import Client
from tests.support.daemon_process import ROOT, DaemonProcess, configure, serving

CONFIGURATION = 2
WORD = "swordfish"
LIMIT_SECONDS = 60.0


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """`autoglmd` with these words."""
    line = [sys.executable, "-m", "autoglmd", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)


def say(daemon: DaemonProcess) -> None:
    """One more turn, and a stop that saves it."""
    with Client(daemon.socket) as client:
        client.chat([{"role": "user", "content": WORD}], session_id="home", max_tokens=4)
    daemon.signal(15)
    assert daemon.wait_exit() == 0


def turns(folder: Path, **environment: str) -> int:
    """How many a daemon finds that starts now."""
    with serving(folder, **environment) as daemon, Client(daemon.socket) as client:
        return client.session("home").info.turns


def is_readable(folder: Path) -> bool:
    """Whether what was said is in any file."""
    return any(WORD.encode() in path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file())


def test_conversations_get_a_key_and_are_closed_to_a_daemon_without_it(tmp_path: Path) -> None:
    """Encrypted by the command, gone on with, with the key from systemd as well, and decrypted again."""
    config, key = configure(tmp_path) / "autoglmd.toml", tmp_path / CREDENTIAL
    with serving(tmp_path) as daemon:
        say(daemon)
    assert is_readable(tmp_path)
    assert command("make-session-key", key).returncode == 0
    change = ("change-session-key", "--config", config)
    said = f"1 conversations in {tmp_path / 'state' / 'sessions'} were written anew.\n"
    assert command(*change, "--from", "none", "--to", key).stdout == said
    assert not is_readable(tmp_path)
    with DaemonProcess(tmp_path) as daemon:
        assert daemon.wait_exit() == CONFIGURATION
        assert "CONFIG_INVALID" in daemon.said()
        assert "Set sessions.key_file" in daemon.said()
    configure(tmp_path, f'sessions = {{ key_file = "{key}" }}')
    with serving(tmp_path) as daemon:
        say(daemon)
    assert not is_readable(tmp_path)
    configure(tmp_path)
    assert turns(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)) == 2
    assert command(*change, "--from", key, "--to", "none").returncode == 0
    assert is_readable(tmp_path)
    assert turns(tmp_path) == 2


def test_a_key_that_others_can_read_is_told_before_the_start_and_at_it(tmp_path: Path) -> None:
    """With the command that mends it."""
    key = tmp_path / "key"
    config = configure(tmp_path, f'sessions = {{ key_file = "{key}" }}') / "autoglmd.toml"
    command("make-session-key", key)
    key.chmod(0o644)
    checked = command("check-config", "--config", config)
    assert checked.returncode == CONFIGURATION
    assert f"chmod 600 {key}" in checked.stderr
    with DaemonProcess(tmp_path) as daemon:
        assert daemon.wait_exit() == CONFIGURATION
        assert f"chmod 600 {key}" in daemon.said()
    assert not os.path.lexists(tmp_path / "s")
