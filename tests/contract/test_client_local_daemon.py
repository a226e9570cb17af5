"""AutoGLM's own daemon: a real child process with a scripted daemon in it."""

import gc
import os
import select
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from openglm import AutoGLM, Client, DaemonStartError, ModelMissingError, RequestCancelledError
from openglm import _autoglm as autoglm
from openglm._local_daemon import LocalDaemon, private_config, private_folder
from openglm.v1 import models_pb2
from tests.support.scripted_server import ScriptedServer, answer, finished, refusal, started, token

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.support.scripted_daemon")
LIMIT_SECONDS = 20.0


def start(*how: str, timeout: float = LIMIT_SECONDS) -> LocalDaemon:
    """A scripted child."""
    return LocalDaemon("", timeout=timeout, command=[*COMMAND, *how])


def ends(pid: int) -> bool:
    """Whether a process is gone within the limit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], LIMIT_SECONDS)[0])
    finally:
        os.close(descriptor)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A box on which no daemon runs; children are scripted ones."""
    for name in ("AUTOGLMD_SOCKET", "AUTOGLMD_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("openglm._address.SYSTEM_SOCKET", tmp_path / "none")
    monkeypatch.setattr(autoglm, "LocalDaemon", partial(LocalDaemon, command=COMMAND))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A daemon on the user's socket, where AutoGLM looks; its models run on the CPU."""
    (tmp_path / "autoglmd").mkdir()
    with ScriptedServer(tmp_path / "autoglmd" / "autoglmd.sock") as server:
        model = models_pb2.Model(name="glm-base", provider="CPUExecutionProvider")
        server.answer("GetModel", models_pb2.GetModelResponse(model=model))
        yield server


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
    from autoglmd.config import load_config

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


@pytest.mark.usefixtures("nobody")
def test_autoglm_starts_a_daemon_where_none_runs() -> None:
    """The whole way: child, question, answer, end."""
    with AutoGLM() as glm:
        assert glm.owns_daemon
        assert glm.generate("你好").startswith("model=''")
        assert "".join(glm.stream("你好")).startswith("model=''")
        assert glm.chat([{"role": "user", "content": "x"}], max_tokens=3).startswith("model=''")
        pid = glm._daemon.pid if glm._daemon else 0
    assert ends(pid)


@pytest.mark.usefixtures("nobody")
def test_autoglm_uses_a_daemon_that_runs(server: ScriptedServer) -> None:
    """The user's socket answers, so no child is started; the model's name is sent."""
    with AutoGLM("glm-base") as glm:
        server.play(answer("ok"))
        assert (glm.generate("x", temperature=0.0), glm.owns_daemon) == ("ok", False)
    request = server.requests[-1]
    assert (request.model, request.chat.messages[0].content) == ("glm-base", "x")


@pytest.mark.usefixtures("nobody")
def test_a_model_that_the_running_daemon_lacks_gets_one_of_its_own(server: ScriptedServer) -> None:
    """That some daemon runs is no reason to fail."""
    server.forget()
    server.answer("GetModel", refusal("NOT_FOUND", "MODEL_NOT_FOUND", name="glm-small", known="other"))
    with AutoGLM() as glm:
        assert glm.owns_daemon
    with AutoGLM(address=server.path) as glm:
        assert not glm.owns_daemon


@pytest.mark.usefixtures("nobody")
def test_a_running_daemon_that_does_not_tell_is_used(server: ScriptedServer) -> None:
    """What is wrong with it, the first request says."""
    server.forget()
    server.answer("GetModel", refusal("UNAVAILABLE", "DRAINING"))
    with AutoGLM() as glm:
        assert not glm.owns_daemon


@pytest.mark.usefixtures("nobody", "server")
def test_another_device_than_the_one_asked_for_is_said() -> None:
    """A running daemon has chosen already; the default and "auto" ask for nothing."""
    with pytest.warns(RuntimeWarning, match=r"glm-base on CPUExecutionProvider, not on 'cuda'") as warned:
        AutoGLM("glm-base", "cuda").close()
    assert warned[0].filename == __file__
    AutoGLM("glm-base").close()
    AutoGLM("glm-base", device="auto").close()


@pytest.mark.usefixtures("nobody")
def test_the_device_asked_for_is_no_surprise(server: ScriptedServer) -> None:
    """Every name of a TensorRT provider counts as it."""
    server.forget()
    model = models_pb2.Model(name="glm-base", provider="NvTensorRTRTXExecutionProvider")
    server.answer("GetModel", models_pb2.GetModelResponse(model=model))
    AutoGLM("glm-base", device="tensorrt").close()


@pytest.mark.usefixtures("nobody")
def test_what_a_daemon_of_our_own_prepares_outlives_it(tmp_path: Path) -> None:
    """Its state is in the user's cache; where that is not to be had, in the folder that goes with it."""
    with AutoGLM() as glm:
        config = tomllib.loads(_config_of(glm))
    assert config["state_dir"] == str(tmp_path / "cache" / "autoglmd")
    assert config["models"]["glm-small"]["prepare"]
    (tmp_path / "cache" / "autoglmd").rmdir()
    (tmp_path / "cache" / "autoglmd").touch()
    with AutoGLM() as glm:
        config = tomllib.loads(_config_of(glm))
    assert config["state_dir"] == str(Path(config["server"]["socket"]).parent / "state")
    assert not config["models"]["glm-small"]["prepare"]


def _config_of(glm: AutoGLM) -> str:
    """What its daemon was told."""
    return Path(glm.client.address.removeprefix("unix:")).with_name("config.toml").read_text(encoding="utf-8")


def test_half_an_answer_is_not_handed_out_as_one(tmp_path: Path) -> None:
    """Text cannot say that somebody cancelled it; the pieces that came before the error were true."""
    half = [started(), token("Half an ans", 5), finished("CANCELLED")]
    with ScriptedServer(tmp_path / "s") as server, AutoGLM(address=server.path) as glm:
        server.play(half, half)
        with pytest.raises(RequestCancelledError):
            glm.generate("x")
        pieces = glm.stream("x")
        assert next(pieces) == "Half an ans"
        with pytest.raises(RequestCancelledError):
            next(pieces)


@pytest.mark.usefixtures("nobody")
def test_a_stale_socket_is_not_a_daemon(tmp_path: Path) -> None:
    """A socket's file whose daemon has died does not count."""
    (tmp_path / "autoglmd").mkdir()
    (tmp_path / "autoglmd" / "autoglmd.sock").touch()
    with AutoGLM() as glm:
        assert glm.owns_daemon


@pytest.mark.usefixtures("nobody", "server")
def test_a_folder_gets_a_daemon_of_its_own(tmp_path: Path) -> None:
    """A running daemon does not serve somebody's folder."""
    (tmp_path / "model").mkdir()
    with AutoGLM(tmp_path / "model") as glm:
        assert glm.owns_daemon


@pytest.mark.usefixtures("nobody")
def test_a_model_that_is_not_here_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The folder is named, and how to make one."""
    with pytest.raises(ModelMissingError, match=r"autoglmctl model build"):
        AutoGLM(tmp_path / "none")


@pytest.mark.usefixtures("nobody")
def test_a_named_address_never_starts_a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a daemon wants that one: by argument or by environment."""
    with AutoGLM(address=tmp_path / "s") as glm:
        assert not glm.owns_daemon
    monkeypatch.setenv("AUTOGLMD_SOCKET", str(tmp_path / "t"))
    with AutoGLM() as glm:
        assert (glm.owns_daemon, glm.client.address) == (False, f"unix:{tmp_path}/t")


@pytest.mark.usefixtures("nobody")
def test_a_child_that_dies_later_is_not_called_absent() -> None:
    """The error says how our daemon ended, rather than that a socket is missing."""
    with AutoGLM() as glm:
        assert glm._daemon is not None
        os.kill(glm._daemon.pid, signal.SIGKILL)
        assert ends(glm._daemon.pid)
        with pytest.raises(DaemonStartError, match="signal 9"):
            glm.generate("x")
