"""`autoglmd serve` as a process, told to stop before it serves."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "fixtures" / "models" / "tiny-int8"
LIMIT_SECONDS = 60.0


@pytest.fixture
def preparing(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A daemon whose child waits for another writer's lock: as good as one that prepares for minutes."""
    folder = tmp_path / "state" / "prepared"
    folder.mkdir(parents=True)
    with (folder / f".{MODEL.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-P", "-m", "autoglmd", "serve", "--model", MODEL, "--log-format", "text"]
        places = ["--socket", tmp_path / "s", "--state-dir", tmp_path / "state"]
        with subprocess.Popen([*command, *places], stderr=subprocess.PIPE, text=True) as daemon:
            yield daemon
            daemon.kill()


def test_sigterm_is_heard_while_a_model_is_prepared(preparing: "subprocess.Popen[str]") -> None:
    """The child ends, the daemon ends, and that is no failure."""
    assert preparing.stderr is not None
    for line in preparing.stderr:
        if "preparing a model for this host" in line:
            break
    preparing.send_signal(signal.SIGTERM)
    assert preparing.wait(LIMIT_SECONDS) == 0
    assert "stopped" in preparing.stderr.read()
