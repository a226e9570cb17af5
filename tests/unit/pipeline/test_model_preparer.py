"""The child that prepares: what it says is told, and it ends when the daemon does."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autoglmd.errors.availability import DrainingError
from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import CPU
from autoglmd.model.prepare import find_prepared
from autoglmd.pipeline import model_preparer
from autoglmd.pipeline.model_preparer import Preparer
from tests.support.fixture_models import FOLDER

LIMIT_SECONDS = 20.0
BUNDLE = read_bundle(FOLDER / "tiny-int8")


def child(text: str) -> tuple[str, ...]:
    """A command that runs this instead of preparing; the folders are its arguments."""
    return (sys.executable, "-c", text)


def nobody() -> None:
    """Need not be told that work began."""


def test_a_copy_is_made_where_there_is_none(tmp_path: Path) -> None:
    """By a real child."""
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
    assert find_prepared(BUNDLE, tmp_path / "p", (CPU,)) is not None


def test_a_copy_that_fits_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No child is started, and nobody is told that one was."""
    begun: list[str] = []
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), lambda: begun.append("first"))
    monkeypatch.setattr(model_preparer, "COMMAND", ("/nonexistent",))
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), lambda: begun.append("second"))
    assert begun == ["first"]


def test_the_folder_that_we_were_started_in_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tomllib.py that lies there is not Python's."""
    (tmp_path / "tomllib.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
    assert find_prepared(BUNDLE, tmp_path / "p", (CPU,)) is not None


def test_the_child_is_the_first_that_the_kernel_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the daemon's own size, where memory ends."""
    looks = (
        "import pathlib, sys\nfile = pathlib.Path('/proc/self/oom_score_adj')\nwhile int(file.read_text()) < 1000: pass"
    )
    monkeypatch.setattr(model_preparer, "COMMAND", child(f"{looks}\nsys.exit('offered')"))
    monkeypatch.setattr(model_preparer, "PREPARE_SECONDS", LIMIT_SECONDS)
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
    assert caplog.messages == ["loading the bundle as shipped, which takes more memory: offered"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("import sys; sys.exit('no space')", "no space"), ("import sys; sys.exit(3)", "the child ended with status 3")],
)
def test_a_child_that_fails_has_its_last_words_logged(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing else happens: the bundle is loaded as shipped."""
    monkeypatch.setattr(model_preparer, "COMMAND", child(text))
    with caplog.at_level(logging.WARNING):
        Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
    assert caplog.messages == [f"loading the bundle as shipped, which takes more memory: {reason}"]


def test_a_child_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And its being late is logged."""
    monkeypatch.setattr(model_preparer, "COMMAND", child("import signal; signal.pause()"))
    monkeypatch.setattr(model_preparer, "PREPARE_SECONDS", 0.2)
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
    assert "it took more than 0 s" in caplog.text


def test_stopping_ends_the_child_and_what_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with the error that says why; and no other is started."""
    monkeypatch.setattr(model_preparer, "COMMAND", child("import signal; signal.pause()"))
    spawned = threading.Event()
    popen = subprocess.Popen

    def noting(*arguments: object, **options: object) -> "subprocess.Popen[str]":
        process = popen(*arguments, **options)  # type: ignore[call-overload]
        spawned.set()
        return process  # type: ignore[no-any-return]

    monkeypatch.setattr(subprocess, "Popen", noting)
    preparer, ended = Preparer(), []

    def ensure() -> None:
        with pytest.raises(DrainingError):
            preparer.ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
        ended.append(True)

    thread = threading.Thread(target=ensure)
    thread.start()
    assert spawned.wait(LIMIT_SECONDS)
    preparer.stop()
    thread.join(LIMIT_SECONDS)
    assert ended == [True]
    with pytest.raises(DrainingError):
        preparer.ensure(BUNDLE, tmp_path / "p", (CPU,), nobody)
