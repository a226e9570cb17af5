"""Exact match of a glm-small bundle on its held-out set.

python -m benchmarks.glm_small_accuracy FOLDER THREADS RESULT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CASES_PER_GROUP = 20


def main() -> None:
    """Answer the cases and write the share of right answers."""
    from models.glm_small.answering import BundleAnswers
    from models.glm_small.held_out import cases

    folder, threads, result = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    asked = cases(CASES_PER_GROUP)
    right = list(BundleAnswers(folder, threads).right(asked))
    result.write_text(json.dumps({"share": sum(right) / len(right), "cases": len(right)}), encoding="utf-8")


if __name__ == "__main__":
    main()
