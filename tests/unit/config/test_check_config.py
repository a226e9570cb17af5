"""`autoglmd check-config`: says before the start what the start would say."""

from pathlib import Path

import pytest

from autoglmd.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, main
from autoglmd.sessions.key import make_key_file, seal_of_file
from autoglmd.sessions.seal import Seal
from tests.support.conversations import empty
from tests.support.seals import OTHER, PLAIN
from tests.support.session_stores import save_turn, store_in


def check(tmp_path: Path, text: str) -> int:
    """Run the command on a file with this text."""
    file = tmp_path / "c.toml"
    file.write_text(text, encoding="utf-8")
    return main(["check-config", "--config", str(file)])


def test_a_sound_file_is_shown_as_it_was_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket, the models, and which of them are not there."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    text = '[models.mine]\npath = "/nowhere"\n[server]\nsocket_mode = 440\n'
    assert check(tmp_path, text) == EXIT_OK
    shown = capsys.readouterr().out
    assert "/run/autoglmd/autoglmd.sock, mode 0o670" in shown
    assert "mine: /nowhere, device auto, NOT ON THIS BOX" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[server]\nlisten = "0.0.0.0:5000"\n', "needs TLS on both"),
        ('[server]\nlisten = "127.0.0.1:0"\ntls_cert = "/nowhere.pem"\n', "tls_key"),
        ("[engine]\nrow = 8\n", "Did you mean 'rows'?"),
    ],
)
def test_what_the_start_would_refuse_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """Also what only the edge judges."""
    assert check(tmp_path, text) == EXIT_CONFIG
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[server]\nsocket = "/s"\nsocket_group = "nobody-has-this"\n',
            "HOST_REFUSED: /s: this box has no group 'nobody-has-this'.",
        ),
        (f'[server]\nsocket = "/{"s" * 107}"\n', "a Unix socket's may have 107"),
        ('default_model = "m"\n[models.m]\npath = "/nowhere"\n', "MODEL_MISSING: /nowhere is not a folder."),
    ],
)
def test_what_the_box_lacks_is_said_as_the_start_would_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """A group that does not exist, a path too long for a socket, the bundle without which the daemon does not start."""
    assert check(tmp_path, text) == EXIT_FAILED
    assert said in capsys.readouterr().err


def test_each_mistake_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, so that one look is enough; a wrong file among them decides the exit status."""
    server = '[server]\nlisten = "0.0.0.0:5000"\nsocket_group = "nobody-has-this"\n'
    text = f'default_model = "m"\n{server}[models.m]\npath = "/n"'
    assert check(tmp_path, text) == EXIT_CONFIG
    told = capsys.readouterr()
    codes = [line.split(": ")[1] for line in told.err.splitlines()]
    assert codes == ["HOST_REFUSED", "MODEL_MISSING", "CONFIG_INVALID"]
    assert told.out == ""


def test_a_bundle_that_is_not_whole_is_named_and_the_others_are_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that is not the default keeps nothing from starting; what the start would log is shown."""
    assert check(tmp_path, f'[models.mine]\npath = "{tmp_path}"\n') == EXIT_OK
    assert f"NOT SERVED: {tmp_path}/genai_config.json is missing." in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ['[server]\nsocket = ""\n', '[server]\nlisten = ""\n', 'state_dir = ""\n', '[server]\nsocket_group = ""\n']
)
def test_an_empty_word_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """It is of a variable that was not set, and would mean the current folder."""
    assert check(tmp_path, text) == EXIT_CONFIG
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--socket", "--listen", "--state-dir", "--model"])
def test_an_empty_option_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """Instead of the system's own place."""
    assert main(["serve", option, ""]) == EXIT_CONFIG
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seal", "said"),
    [(OTHER, "was encrypted with another key"), (PLAIN, "conversations that are not encrypted, and a key is")],
    ids=["another key", "no key"],
)
def test_a_key_that_is_not_the_conversations_is_told_and_nothing_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seal: Seal, said: str
) -> None:
    """With the remedy, as the start would say it."""
    keep_a_conversation(tmp_path, seal)
    before = contents(tmp_path / "state")
    assert check(tmp_path, with_key(tmp_path)) == EXIT_CONFIG
    assert f"CONFIG_INVALID: {tmp_path}/state/sessions" in (told := capsys.readouterr().err)
    assert said in told
    assert contents(tmp_path / "state") == before


def test_the_conversations_own_key_is_sound_and_so_is_the_first_one(tmp_path: Path) -> None:
    """Nothing is made before the daemon starts; and while one runs, nobody is disturbed."""
    text = with_key(tmp_path)
    assert check(tmp_path, text) == EXIT_OK
    assert not (tmp_path / "state").exists()
    keep_a_conversation(tmp_path, seal_of_file(tmp_path / "key"))
    (tmp_path / "state" / "sessions" / "key.check").unlink()
    before = contents(tmp_path / "state")
    assert check(tmp_path, text) == EXIT_OK
    assert contents(tmp_path / "state") == before


def with_key(tmp_path: Path) -> str:
    """A configuration with a key that is new."""
    make_key_file(tmp_path / "key")
    return f'state_dir = "{tmp_path}/state"\n[sessions]\nkey_file = "{tmp_path}/key"\n'


def keep_a_conversation(tmp_path: Path, seal: Seal) -> None:
    """As a daemon does that had this key."""
    store = store_in(tmp_path / "state" / "sessions", seal=seal)
    save_turn(store, empty(), "one")
    store.close()


def contents(folder: Path) -> dict[Path, bytes]:
    """All files, byte for byte."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
