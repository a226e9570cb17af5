"""kill -9 at any moment of a save, an eviction or a catalog's commit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_SECONDS = 240


@pytest.mark.parametrize(("seal", "kills"), [("plain", 200), ("sealed", 50)])
def test_hundreds_of_kills_lose_no_acknowledged_turn_and_mix_no_two_sessions(
    tmp_path: Path, seal: str, kills: int
) -> None:
    """Each daemon that starts afterwards finds what was saved, and goes on from there."""
    command = [sys.executable, "-m", "tests.support.session_killer", str(tmp_path), str(kills), "11", seal]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == []
    # Else the loop has killed children that had not begun.
    assert told["saved"] > kills
