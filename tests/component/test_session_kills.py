"""kill -9 at any moment of a save, an eviction or a catalog's commit."""

import json
import subprocess
import sys
from pathlib import Path

KILLS = 200
LIMIT_SECONDS = 240


def test_two_hundred_kills_lose_no_acknowledged_turn_and_mix_no_two_sessions(tmp_path: Path) -> None:
    """Each daemon that starts afterwards finds what was saved, and goes on from there."""
    command = [sys.executable, "-m", "tests.support.session_killer", str(tmp_path), str(KILLS), "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == []
    # Else the loop has killed children that had not begun.
    assert told["saved"] > KILLS
