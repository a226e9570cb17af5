"""Everything here needs the extra `[build]`; checkpoints are made once per session."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.build.checkpoints import EVEN, ODD, ODD_HEAD, Checkpoint, make

if find_spec("onnx_ir") is None:
    collect_ignore_glob = ["test_*.py"]  # `make test` collects without the extra; `make test-build` installs it

MakeCheckpoint = Callable[[str, str], Checkpoint]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that `make test` leaves it to `make test-build`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.build)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """Return a function that makes the checkpoint of an architecture, of "even" or "odd" dimensions, once."""
    made: dict[tuple[str, str], Checkpoint] = {}

    def get(model_type: str, dimensions: str) -> Checkpoint:
        key = (model_type, dimensions)
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{model_type}-{dimensions}") / "checkpoint"
            shape = EVEN if dimensions == "even" else ODD | {"head_dim": ODD_HEAD[model_type]}
            made[key] = make(folder, model_type, shape)
        return made[key]

    return get
