"""Text for `autoglmctl model build --calibration`: python -m models.glm_small.calibration FILE."""

import sys
from pathlib import Path

from models.glm_small.chat import USER, prompt
from models.glm_small.corpus import Corpus

_SEED = "calibration"
_CONVERSATIONS = 80
_TURNS = 5


def text() -> str:
    """Conversations of the training corpus as the model sees them, special tokens written out."""
    corpus = Corpus(_SEED)
    conversations = [corpus.conversation(_TURNS) for _ in range(_CONVERSATIONS)]
    return "".join(prompt(turns[:-1], turns[-1].text) + turns[-1].answer + USER for turns in conversations)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
