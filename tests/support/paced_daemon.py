"""The real daemon with a model as slow as a test wants: `python -m tests.support.paced_daemon PACE serve ...`.

PACE    a file; before each run of the model its content is read: seconds to wait, "hold" (until it says otherwise),
        or "hang"
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoglmd.__main__ import main
from autoglmd.model.ort_runner import OrtRunner

NEVER = threading.Event()
HOLD_SECONDS = 0.005


def paced(run: Callable[..., Any], pace: Path) -> Callable[..., Any]:
    """The same run, later or never."""

    def wait_and_run(*arguments: Any, **settings: Any) -> Any:
        while (said := pace.read_text()) == "hold":
            NEVER.wait(HOLD_SECONDS)
        NEVER.wait(None if said == "hang" else float(said))
        return run(*arguments, **settings)

    return wait_and_run


def start() -> int:
    """Slow the runner down and run the daemon's own command line."""
    pace = Path(sys.argv[1])
    for name in ("prefill", "prefill_fresh", "decode"):
        setattr(OrtRunner, name, paced(getattr(OrtRunner, name), pace))
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(start())
