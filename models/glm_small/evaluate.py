"""Measures glm-small on what training never saw: python -m models.glm_small.evaluate.

The targets are set for what the grammar says and training was not shown. A second table is of sentences that were
written without sight of the grammar.

Needs neither torch nor transformers. The INT8 bundle answers through the daemon's own runner; the FP32 checkpoint
is judged by a numpy forward pass.
"""

import argparse
import sys
from pathlib import Path

from models.glm_small.answering import BundleAnswers, CheckpointAnswers
from models.glm_small.held_out import EVALUATION_SEED, cases
from models.glm_small.outside import judged, sentences
from models.glm_small.score import Score, outside_table, shortfalls, table

_HERE = Path(__file__).parent
BUNDLE = _HERE.parents[1] / "daemon" / "autoglmd" / "bundled" / "glm-small"
CHECKPOINT = _HERE / "checkpoint"
_PER_GROUP = 40


def main() -> int:
    """Print the table; return 1 when a target is missed or a model is not there to be measured."""
    options = _options()
    missing = [
        f"There is no {what} in {folder}."
        for what, folder, file in (
            ("FP32 checkpoint", options.checkpoint, "model.safetensors"),
            ("INT8 bundle", options.bundle, "genai_config.json"),
        )
        if not (folder / file).is_file()
    ]
    if missing:
        print(*missing, "Train and build with `make glm-small`, or name the folders.", sep="\n", file=sys.stderr)
        return 1
    asked = cases(options.per_group, options.seed)
    checkpoint, bundle = CheckpointAnswers(options.checkpoint), BundleAnswers(options.bundle, options.threads)
    fp32 = Score("FP32", tuple(checkpoint.right(asked)))
    int8 = Score("INT8", tuple(bundle.right(asked)))
    print(table(asked, [fp32, int8]))
    heard = sentences()
    outside = [Score("FP32", judged(heard, checkpoint.right)), Score("INT8", judged(heard, bundle.right))]
    print("", outside_table(heard, outside), sep="\n")
    missed = shortfalls(fp32, int8)
    print(*missed, sep="\n", file=sys.stderr)
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="the INT8 bundle")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the checkpoint, judged in FP32")
    parser.add_argument("--per-group", type=int, default=_PER_GROUP, help="cases per split, category and language")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
