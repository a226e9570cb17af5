"""`autoglmd check-config`: says before the start what the start would say."""

from pathlib import Path

import pytest

from autoglmd.__main__ import EXIT_CONFIG, EXIT_OK, main


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
    assert check(tmp_path, '[models.mine]\npath = "/nowhere"\n') == EXIT_OK
    shown = capsys.readouterr().out
    assert "/run/autoglmd/autoglmd.sock" in shown
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
