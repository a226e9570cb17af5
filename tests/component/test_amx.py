"""What AMX changes of a W8A8 model: how its weights are packed, and no result."""

import subprocess
import sys
from pathlib import Path

import pytest

from autoglmd.host.amx import amx_is_lent, has_amx
from autoglmd.model.bundle import read_bundle
from autoglmd.model.device import CPU
from autoglmd.model.prepare import find_prepared
from autoglmd.pipeline.model_preparer import Preparer
from tests.support.fixture_models import FOLDER

BUNDLE = read_bundle(FOLDER / "tiny-per-token")
LOGITS = """
import hashlib, sys
from autoglmd.host.amx import amx_withheld
with amx_withheld(unless=sys.argv[1] == "amx"):
    import onnxruntime
import numpy as np
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
ids = np.random.default_rng(0).integers(6, 500, (1, 40))
feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
for entry in session.get_inputs():
    if entry.name not in feed:
        feed[entry.name] = np.zeros((1, int(sys.argv[3]), 0, int(sys.argv[4])), np.float32)
print(hashlib.sha256(session.run(["logits"], feed)[0].tobytes()).hexdigest())
"""


def logits(amx: str) -> str:
    """The digest of a prompt's logits."""
    command = [sys.executable, "-c", LOGITS, amx, str(BUNDLE.graph), str(BUNDLE.kv_heads), str(BUNDLE.head_size)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not has_amx(), reason="this processor, or its kernel, has no AMX")
def test_the_logits_are_the_same_bit_for_bit_without_amx() -> None:
    """Sums of integers have no order."""
    assert logits("amx") == logits("no amx")


def test_a_copy_that_was_prepared_the_other_way_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed otherwise, it would take up memory twice."""
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), lambda: None)
    made = find_prepared(BUNDLE, tmp_path / "p", (CPU,))
    assert made is not None
    assert made.key.amx == amx_is_lent()
    monkeypatch.setattr("autoglmd.model.prepare.amx_is_lent", lambda: not made.key.amx)
    assert find_prepared(BUNDLE, tmp_path / "p", (CPU,)) is None


@pytest.mark.parametrize("amx", [True, False])
def test_the_child_that_prepares_packs_as_its_parent_would(
    amx: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, because it asks for AMX by itself."""
    monkeypatch.setattr("autoglmd.pipeline.model_preparer.amx_is_lent", lambda: amx)
    tell = (sys.executable, "-c", "import sys; sys.exit(str('--amx' in sys.argv))")
    monkeypatch.setattr("autoglmd.pipeline.model_preparer.COMMAND", tell)
    Preparer().ensure(BUNDLE, tmp_path / "p", (CPU,), lambda: None)
    assert caplog.messages[-1].endswith(str(amx))
