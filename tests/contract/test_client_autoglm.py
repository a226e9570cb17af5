"""AutoGLM: which daemon it talks to, one that runs or a child of its own, and what it makes of half an answer."""

import os
import signal
import tomllib
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from openglm import AutoGLM, DaemonStartError, ModelMissingError, RequestCancelledError
from openglm import _autoglm as autoglm
from openglm._local_daemon import LocalDaemon
from openglm.v1 import models_pb2
from tests.support.scripted_daemon import COMMAND, ends
from tests.support.scripted_server import ScriptedServer, answer, finished, refusal, started, token


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
    with warnings.catch_warnings(record=True) as told:
        AutoGLM("glm-base", device="tensorrt").close()
    assert told == []


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
