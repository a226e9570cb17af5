"""The table counts right, and a missed target is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from autoglmd.errors.model import ModelCorruptError
from models.glm_small import evaluate
from models.glm_small.held_out import Case, cases
from models.glm_small.safetensors_file import read_weights
from models.glm_small.score import Score, shortfalls, table


@pytest.fixture(scope="module")
def some() -> list[Case]:
    """A small evaluation set."""
    return cases(per_group=2)


def test_the_table_has_a_line_per_group_and_a_total(some: list[Case]) -> None:
    """Every split and category is a line; the last one counts all cases."""
    right = tuple(n % 4 != 0 for n in range(len(some)))
    lines = table(some, [Score("FP32", right)]).splitlines()
    assert len(lines) == 3 + len({(case.split, case.category) for case in some})
    assert lines[-1] == f"| **all** |  | {len(some)} | **{sum(right) / len(some):.1%}** |"


def test_a_target_that_is_met_is_not_mentioned() -> None:
    """97 % in FP32 and a loss of one point are enough."""
    assert shortfalls(Score("FP32", (True,) * 97 + (False,) * 3), Score("INT8", (True,) * 96 + (False,) * 4)) == []


def test_a_missed_target_is_said_with_its_numbers() -> None:
    """Both the level and the loss are judged."""
    fp32, int8 = Score("FP32", (True,) * 90 + (False,) * 10), Score("INT8", (True,) * 80 + (False,) * 20)
    said = shortfalls(fp32, int8)
    assert "90.00%" in said[0]
    assert "10.00%" in said[1]


def test_an_evaluation_without_the_checkpoint_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a comparison is no success: INT8 is judged by what it loses against FP32."""
    monkeypatch.setattr("sys.argv", ["evaluate", "--checkpoint", str(tmp_path)])
    assert evaluate.main() == 1
    assert f"There is no FP32 checkpoint in {tmp_path}." in capsys.readouterr().err


def test_safetensors_are_read_in_each_of_the_common_types(tmp_path: Path) -> None:
    """F32, F16 and BF16 tensors come back as float32 with their shapes."""
    values = np.array([[1.0, -2.5], [0.5, 3.0]], np.float32)
    upper_half = (values.view(np.uint32) >> 16).astype(np.uint16)
    for dtype, raw in (
        ("F32", values.tobytes()),
        ("F16", values.astype(np.float16).tobytes()),
        ("BF16", upper_half.tobytes()),
    ):
        file = _written(tmp_path, dtype, raw)
        assert np.array_equal(read_weights(file)["w"], values)


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    """Integers are no weights of ours."""
    with pytest.raises(ModelCorruptError, match="I64"):
        read_weights(_written(tmp_path, "I64", bytes(32)))


def test_a_file_that_is_no_safetensors_file_is_named(tmp_path: Path) -> None:
    """Garbage is an error with the file's name, not a traceback from the parser."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"\x03" + bytes(7) + b"abcdef")
    with pytest.raises(ModelCorruptError, match="no safetensors header"):
        read_weights(file)


def _written(folder: Path, dtype: str, raw: bytes) -> Path:
    header = json.dumps({"w": {"dtype": dtype, "shape": [2, 2], "data_offsets": [0, len(raw)]}}).encode()
    file = folder / f"{dtype}.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + raw)
    return file
