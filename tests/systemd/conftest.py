"""A box on which the commands of docs/service.md were typed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd_box import OPERATOR, SystemdBox, booted, make_root, missing_tools

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "build-out" / "systemd"
SOURCES = f"/home/{OPERATOR}/autoglmd"
BUILD_TOOLS = "hatchling"


def shell_blocks() -> list[str]:
    """What docs/service.md tells to type."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "service.md").read_text(encoding="utf-8"), re.M | re.S)


def wheels() -> Path:
    """What pip would get from its index, which the box cannot reach."""
    folder = MADE / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    what = ["--only-binary=:all:", "--python-version=3.11", "--find-links", str(folder), "--dest", str(folder)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    (wheel,) = (ROOT / "dist").glob("*.whl")
    subprocess.run([*pip, *what, BUILD_TOOLS, str(wheel)], check=True)
    return folder


@pytest.fixture(scope="session", name="box")
def make_box() -> Iterator[SystemdBox]:
    """The box, with the service installed as an operator would."""
    why = missing_tools()
    assert not why, f"no box with a systemd can be made: {why}"
    binds = [(wheels(), "/wheels"), (ROOT, SOURCES)]
    with booted(make_root(MADE / "root"), "autoglmd-test", binds) as box:
        box.run("printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf", user="root")
        *install, look = shell_blocks()[0].strip().splitlines()
        box.run("\n".join((f"cd {SOURCES}", *install)))
        # Logged in anew, as the page says.
        assert "glm-small" in box.run(look)
        yield box
