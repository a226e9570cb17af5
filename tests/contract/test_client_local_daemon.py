"""AutoGLM's own daemon: a real child process with a scripted daemon in it."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from openglm import Client, DaemonStartError
from openglm import _autoglm as autoglm
from openglm._local_daemon import LocalDaemon, private_config, private_folder
from tests.support.scripted_daemon import COMMAND, ends

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 20.0


def start(*how: str, timeout: float = LIMIT_SECONDS) -> LocalDaemon:
    """A scripted child."""
    return LocalDaemon("", timeout=timeout, command=[*COMMAND, *how])


def test_a_child_serves_on_a_private_socket() -> None:
    """Nobody else may enter its folder, and the folder goes when it is closed."""
    daemon = start()
    assert daemon.address.path is not None
    folder = daemon.address.path.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    with Client(daemon.address.target) as client:
        assert f"pid={daemon.pid}" in client.generate("x").text
    daemon.close()
    daemon.close()
    assert ends(daemon.pid)
    assert not folder.exists()


def test_a_child_that_fails_shows_its_last_words() -> None:
    """The error has the exit code and what was written to stderr."""
    with pytest.raises(DaemonStartError, match="exit code 3") as caught:
        start("fail")
    assert caught.value.log == "MODEL_MISSING: there is no model"


def test_a_child_that_never_serves_is_given_up() -> None:
    """The limit holds, and the child does not stay."""
    with pytest.raises(DaemonStartError, match=r"did not serve within 0\.5 s"):
        start("silent", timeout=0.5)


def test_a_command_that_cannot_be_run_is_named() -> None:
    """No traceback of subprocess."""
    with pytest.raises(DaemonStartError, match="/nowhere/python cannot be run"):
        LocalDaemon("", timeout=1, command=["/nowhere/python"])


def test_the_child_ends_with_its_last_reference() -> None:
    """Who forgets `close` leaves nothing behind."""
    daemon = start()
    pid = daemon.pid
    del daemon
    gc.collect()
    assert ends(pid)


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_child_ends_with_its_program(end: str) -> None:
    """However the program ends, a kill -9 included."""
    code = (
        "import os, signal, sys\n"
        "from openglm._local_daemon import LocalDaemon\n"
        f"daemon = LocalDaemon('', timeout={LIMIT_SECONDS}, command={COMMAND!r})\n"
        "print(daemon.pid, flush=True)\n"
        f"{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout, done.stderr
    assert ends(int(done.stdout))


def test_a_fork_of_the_program_leaves_the_child_alone() -> None:
    """Only the process that started it stops it."""
    code = (
        "import os, sys\n"
        "from openglm._local_daemon import LocalDaemon\n"
        "def stop_in_fork(daemon):\n"
        "    daemon._stop()\n"
        f"daemon = LocalDaemon('', timeout={LIMIT_SECONDS}, command={COMMAND!r})\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    stop_in_fork(daemon)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(daemon.death() is None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_a_long_temporary_folder_still_leaves_room_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TMPDIR may be longer than a socket's path can be."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = private_folder()
    assert folder.parent == Path("/tmp")  # noqa: S108
    assert list(long.iterdir()) == []
    folder.rmdir()


def test_the_private_configuration_is_one_that_the_daemon_takes(tmp_path: Path) -> None:
    """What AutoGLM writes is read back by the daemon's own strict reader."""
    from autoglmd.config.reading import load_config

    path = tmp_path / "config.toml"
    folder = tmp_path / '我的 "model"'
    folder.mkdir()
    settings = autoglm._settings(str(folder), str(folder), "cuda", prepare=True)
    path.write_text(private_config(tmp_path, tmp_path / "cache") + settings, encoding="utf-8")
    config = load_config(path)
    assert (config.state_dir, config.models["local"].prepare) == (tmp_path / "cache", True)
    assert list(config.models) == [config.default_model] == ["local"]
    assert (config.models["local"].path, config.models["local"].device) == (str(folder), "cuda")
    assert (config.server.socket, config.server.socket_mode) == (tmp_path / "s", 0o600)
