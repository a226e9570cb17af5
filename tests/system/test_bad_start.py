"""Starts that cannot be: exit status, one clear sentence to the shell, and nothing left behind."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.daemon_process import DaemonProcess, configure, serving
from tests.support.fixture_models import copy_bundle, edit_json

FAILED, CONFIGURATION = 1, 2


def refusal(folder: Path, *options: str) -> tuple[int, str]:
    """Exit status of a daemon that does not start, and its last word."""
    with DaemonProcess(folder, ("-m", "autoglmd", "serve", *options)) as daemon:
        return daemon.wait_exit(), daemon.said()


def test_a_socket_in_use_is_refused_and_the_first_daemon_goes_on(tmp_path: Path) -> None:
    """The second names the path, the pid of the first and the remedy, before it loads anything."""
    with serving(configure(tmp_path)) as first:
        status, said = refusal(tmp_path)
        assert status == FAILED
        assert said == (
            f"autoglmd: SOCKET_IN_USE: {first.socket}: in use by a daemon with pid {first.pid}. "
            "Stop it, or choose another path with --socket."
        )
        assert first.is_running
        assert first.socket.exists()
        first.signal(signal.SIGTERM)
        assert first.wait_exit() == 0


def test_what_ended_a_start_stands_in_the_log_with_its_code(tmp_path: Path) -> None:
    """Whoever reads the log by machine gets the reason as an entry, not only the shell as text."""
    with serving(configure(tmp_path)), DaemonProcess(tmp_path, ("-m", "autoglmd", "serve")) as second:
        assert second.wait_exit() == FAILED
        entry = second.wait_log(lambda entry: entry.get("code") == "SOCKET_IN_USE")
    assert entry["level"] == "critical"
    assert "in use by a daemon with pid" in entry["msg"]


def test_a_program_that_is_not_ours_keeps_its_socket(tmp_path: Path) -> None:
    """Somebody else listens there: refused, and its socket is not touched."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        status, said = refusal(configure(tmp_path))
        assert status == FAILED
        assert "in use by a program that is not autoglmd" in said
        assert (tmp_path / "s").is_socket()


def test_kill_9_leaves_nothing_that_blocks_the_next_start(tmp_path: Path) -> None:
    """The socket of a daemon that was killed is taken over."""
    with serving(configure(tmp_path)) as killed:
        killed.signal(signal.SIGKILL)
        assert killed.wait_exit() == -signal.SIGKILL
        assert killed.socket.exists()
    with serving(tmp_path) as next_one:
        next_one.signal(signal.SIGTERM)
        assert next_one.wait_exit() == 0


def test_a_folder_that_cannot_be_written_is_named_with_the_option(tmp_path: Path) -> None:
    """A socket below a file, which not even root can make."""
    (tmp_path / "file").touch()
    status, said = refusal(configure(tmp_path), "--socket", str(tmp_path / "file" / "s"))
    assert status == FAILED
    assert said.startswith(f"autoglmd: HOST_REFUSED: {tmp_path}/file/s.lock: cannot be made: ")
    assert said.endswith("Choose a writable folder with server.socket or --socket.")


def test_a_file_where_the_socket_should_be_stays(tmp_path: Path) -> None:
    """What is not a socket is not removed."""
    (tmp_path / "s").write_text("mine")
    status, said = refusal(configure(tmp_path))
    assert status == FAILED
    assert "there is something that is not a socket" in said
    assert (tmp_path / "s").read_text() == "mine"


def test_a_typo_in_the_configuration_is_named_with_the_nearest_key(tmp_path: Path) -> None:
    """Status 2, before a socket is made."""
    configure(tmp_path)
    with (tmp_path / "autoglmd.toml").open("a") as file:
        file.write("\n[engine]\nrosw = 4\n")
    status, said = refusal(tmp_path)
    assert status == CONFIGURATION
    assert said == (
        f"autoglmd: CONFIG_INVALID: {tmp_path}/autoglmd.toml: unknown key 'engine.rosw'. Did you mean 'rows'?"
    )
    assert not (tmp_path / "s").exists()


def test_listening_on_the_network_without_tls_is_refused(tmp_path: Path) -> None:
    """Beyond loopback there is no plaintext."""
    status, said = refusal(configure(tmp_path, listen="0.0.0.0:0"))
    assert status == CONFIGURATION
    assert "tls_cert" in said


def test_a_missing_default_model_ends_the_start(tmp_path: Path) -> None:
    """The folder is named, with what should be in it, and the socket is gone."""
    status, said = refusal(configure(tmp_path, models=(str(tmp_path / "nowhere"),)))
    assert status == FAILED
    assert said.startswith(f"autoglmd: MODEL_MISSING: {tmp_path}/nowhere is not a folder.")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("genai_config.json", "MODEL_CORRUPT"),
        ("model.onnx", "MODEL_CORRUPT"),
        ("model.onnx.data", "MODEL_CORRUPT"),
        ("tokenizer.model", "TOKENIZER_INVALID"),
        ("tokenizer_config.json", "TOKENIZER_INVALID"),
    ],
)
def test_a_corrupt_default_model_ends_the_start(tmp_path: Path, file: str, code: str) -> None:
    """Whichever file is broken, it is named, in one line and without a traceback."""
    folder = copy_bundle("tiny-int8", tmp_path / "model")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 3])
    status, said = refusal(configure(tmp_path, models=(str(folder),)))
    assert status == FAILED
    assert said.startswith(f"autoglmd: {code}: ")
    assert file.removesuffix(".data") in said
    assert "Traceback" not in said
    assert "\n" not in said


def test_another_models_tokenizer_ends_the_start(tmp_path: Path) -> None:
    """More ids than the model knows."""
    folder = copy_bundle("tiny-int8", tmp_path / "model")
    edit_json(folder / "genai_config.json", lambda settings: settings["model"].update(vocab_size=500))
    status, said = refusal(configure(tmp_path, models=(str(folder),)))
    assert status == FAILED
    assert "the tokenizer has 512 ids and the model 500" in said


def test_a_start_that_fails_leaves_the_way_free(tmp_path: Path) -> None:
    """After the bundle is mended the same command works."""
    folder = copy_bundle("tiny-int8", tmp_path / "model")
    (folder / "model.onnx").rename(folder / "away")
    assert refusal(configure(tmp_path, models=(str(folder),)))[0] == FAILED
    (folder / "away").rename(folder / "model.onnx")
    with serving(tmp_path) as daemon:
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.wait_exit() == 0
