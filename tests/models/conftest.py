"""What the tests of glm-small share."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from models.glm_small import vocabulary

if find_spec("transformers") is None:
    # `make test` collects without the extra [build]; `make test-build` installs it.
    collect_ignore = ["test_reference.py", "test_train.py", "test_optimizer.py"]


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vocabulary, trained once."""
    return vocabulary.train(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def pieces(vocabulary_file: Path) -> SentencePieceProcessor:
    """The trained vocabulary, loaded."""
    return SentencePieceProcessor(model_file=str(vocabulary_file))
