"""Where daemons of our own keep their prepared models."""

import os
from pathlib import Path

import pytest

from openglm._state_folder import state_folder


def test_it_is_in_the_users_cache_and_private(tmp_path: Path) -> None:
    """Made at need, with its parents."""
    folder = state_folder({"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": "/nowhere"}, "glm-small")
    assert folder == tmp_path / "cache" / "autoglmd"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("cache", [{}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}])
def test_without_a_cache_folder_it_is_the_homes(tmp_path: Path, cache: dict[str, str]) -> None:
    """As the specification has it: a relative path is ignored."""
    assert state_folder({"HOME": str(tmp_path), **cache}, "glm-small") == tmp_path / ".cache" / "autoglmd"


def test_a_user_without_a_home_has_none() -> None:
    """Services run as such users."""
    assert state_folder({}, "glm-small") is None
    assert state_folder({"HOME": "/proc/nobody"}, "glm-small") is None


def test_every_bundle_folder_has_its_own(tmp_path: Path) -> None:
    """They are all served under one name, so one's prepared copy would replace the other's."""
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    one, other = state_folder(environ, "/models/one"), state_folder(environ, "/models/other")
    assert one != other
    assert one == state_folder(environ, "/models/../models/one")
    assert one is not None
    assert one.parent == tmp_path / "autoglmd"


def test_one_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    """It is ours, so we may."""
    (tmp_path / "autoglmd").mkdir()
    (tmp_path / "autoglmd").chmod(0o777)
    state_folder({"XDG_CACHE_HOME": str(tmp_path)}, "glm-small")
    assert (tmp_path / "autoglmd").stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody may have put it there to have us write elsewhere."""
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "autoglmd").symlink_to(tmp_path / "elsewhere")
    assert state_folder({"XDG_CACHE_HOME": str(tmp_path)}, "glm-small") is None
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_file_in_its_place_is_none(tmp_path: Path) -> None:
    """No error: a cache is a convenience."""
    (tmp_path / "autoglmd").touch()
    assert state_folder({"XDG_CACHE_HOME": str(tmp_path)}, "glm-small") is None


def test_somebody_elses_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could change what we load from it."""
    (tmp_path / "autoglmd").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / "autoglmd").stat().st_uid + 1)
    assert state_folder({"XDG_CACHE_HOME": str(tmp_path)}, "glm-small") is None
