"""Where the socket and the state go when nobody said."""

import os
from pathlib import Path

import pytest

from autoglmd.host.places import Places, usable_places


@pytest.fixture
def closed(tmp_path: Path) -> Places:
    """The system's places on a box where they cannot be made: something else is in the way."""
    (tmp_path / "file").touch()
    return Places(tmp_path / "file" / "autoglmd" / "a.sock", tmp_path / "file" / "state")


def test_the_systems_places_are_taken_where_they_can_be_made(tmp_path: Path) -> None:
    """Whatever the user's environment says, which a service's may say as well."""
    system = Places(tmp_path / "run" / "a.sock", tmp_path / "var" / "lib" / "autoglmd")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert usable_places(environ, system) == system


def test_else_they_are_the_users_own(tmp_path: Path, closed: Places) -> None:
    """The socket where clients look for it; the state where the user's programs keep theirs."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": f"{tmp_path}/s", "HOME": "/nowhere"}
    assert usable_places(environ, closed) == Places(
        tmp_path / "autoglmd" / "autoglmd.sock", tmp_path / "s" / "autoglmd"
    )
    assert usable_places({"HOME": str(tmp_path)}, closed).state_dir == tmp_path / ".local" / "state" / "autoglmd"


def test_each_place_is_judged_by_itself(tmp_path: Path, closed: Places) -> None:
    """Who can write only one of the two keeps that one."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    system = Places(closed.socket, tmp_path / "state")
    assert usable_places(environ, system) == Places(tmp_path / "autoglmd" / "autoglmd.sock", system.state_dir)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_a_runtime_folder_that_others_can_enter_is_not_taken(tmp_path: Path, closed: Places, mode: int) -> None:
    """Whoever can write there could put a socket of their own in the place of ours."""
    tmp_path.chmod(mode)
    assert usable_places({"XDG_RUNTIME_DIR": str(tmp_path)}, closed).socket == closed.socket


def test_another_users_runtime_folder_is_not_taken(
    tmp_path: Path, closed: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root has it in its environment behind `sudo -E`."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert usable_places({"XDG_RUNTIME_DIR": str(tmp_path)}, closed).socket == closed.socket


@pytest.mark.parametrize("own", ["", "relative", "/nowhere/at/all"])
def test_where_the_users_cannot_be_had_either_the_systems_are_named(
    closed: Places, own: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unset, relative, which counts as unset, or not there: the error then names what the documentation does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir()
    assert usable_places({"XDG_RUNTIME_DIR": own}, closed) == closed


def test_a_state_folder_below_a_file_is_no_state_folder(tmp_path: Path, closed: Places) -> None:
    """It could not be made."""
    assert usable_places({"XDG_STATE_HOME": f"{tmp_path}/file"}, closed) == closed
