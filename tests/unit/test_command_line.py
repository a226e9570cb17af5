"""What the command line makes of its options."""

import subprocess
import sys
from pathlib import Path

import pytest

from autoglmd.__main__ import _overrides, _parser
from autoglmd.config.reading import load_config
from autoglmd.config.rooms import Config

LIMIT_SECONDS = 20.0
STUCK = """
import atexit, sys, threading
from autoglmd.__main__ import _leave_threads_behind
atexit.register(print, "unwound")
threading.Thread(target=threading.Event().wait, name=sys.argv[1], daemon=True).start()
_leave_threads_behind()
"""
FILE = """
default_model = "other"
[models.other]
path = "/somewhere"
[engine]
rows = 3
"""


def served(model: str, file: Path | None = None) -> Config:
    """The configuration of `serve --model MODEL`."""
    options = _parser().parse_args(["serve", "--model", model])
    return load_config(file, _overrides(options))


def test_a_model_on_the_command_line_is_the_only_one(tmp_path: Path) -> None:
    """The file's models are not served; its other settings hold."""
    file = tmp_path / "c.toml"
    file.write_text(FILE)
    config = served("/bundles/mine", file)
    assert list(config.models) == [config.default_model] == ["mine"]
    assert config.models["mine"].path == "/bundles/mine"
    assert config.models["mine"].engine.rows == 3


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/bundles/my model", "my-model"),
        ("/bundles/glm-4.5_air", "glm-4.5_air"),
        ("/bundles/模型", "model"),
        ("/bundles/.hidden", "hidden"),
        ("/", "model"),
        ("/bundles/..", "model"),
        ("/" + "x" * 100, "x" * 64),
    ],
)
def test_any_folder_makes_a_name(folder: str, name: str) -> None:
    """What a model's name may not hold is left out."""
    assert list(served(folder).models) == [name]


@pytest.mark.parametrize(("name", "said"), [("load-glm", b""), ("somebody", b"unwound\n")])
def test_nothing_is_unwound_under_a_thread_that_computes(name: str, said: bytes) -> None:
    """The process ends at once and in peace; others' threads are no reason for that."""
    done = subprocess.run([sys.executable, "-c", STUCK, name], capture_output=True, check=True, timeout=LIMIT_SECONDS)
    assert done.stdout == said
