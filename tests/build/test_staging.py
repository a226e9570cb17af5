"""What the model builder is shown of a source folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions
from autoglmctl.build.source import Source
from autoglmctl.build.staging import stage
from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.errors.request import InvalidArgumentError
from tests.build.checkpoints import EVEN
from tests.support.make_tiny_models import make_checkpoint, write_tokenizer

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
LLAMA_DEFAULT = 2048
"""`max_position_embeddings` of transformers' LlamaConfig."""


@pytest.mark.parametrize(
    ("said", "asked", "staged"),
    [(512, None, 512), (512, 64, 64), (512, 4096, 512), (None, 64, 64), (None, 4096, LLAMA_DEFAULT)],
)
def test_the_context_is_what_was_asked_for_and_never_longer_than_the_checkpoints(
    tmp_path: Path, said: int | None, asked: int | None, staged: int
) -> None:
    """A config.json that leaves its positions out means its architecture's default."""
    config = LLAMA if said is None else LLAMA | {"max_position_embeddings": said}
    assert _staged(tmp_path, config, asked)["max_position_embeddings"] == staged


def test_without_a_wish_the_configuration_is_left_as_it_is(tmp_path: Path) -> None:
    """Also where it leaves the positions out."""
    assert _staged(tmp_path, LLAMA, None) == LLAMA


def test_a_context_cannot_be_set_where_the_model_has_none(tmp_path: Path) -> None:
    """A model without positions of its own says so by name, not by a KeyError."""
    config = {"architectures": ["MambaForCausalLM"], "model_type": "mamba"}
    with pytest.raises(InvalidArgumentError, match=r"^context_length: .*no max_position_embeddings"):
        _staged(tmp_path, config, 64)


def test_a_model_type_that_nobody_knows_has_no_default(tmp_path: Path) -> None:
    """What transformers cannot read is not guessed."""
    with pytest.raises(ModelUnsupportedError, match=r"config\.json cannot be read by transformers"):
        _staged(tmp_path, {"architectures": ["ParrotForCausalLM"], "model_type": "parrot"}, 64)


def test_a_checkpoint_that_leaves_its_positions_out_builds_with_a_context(tmp_path: Path) -> None:
    """The whole way: the built model's context is the one asked for."""
    source = tmp_path / "source"
    make_checkpoint("llama", EVEN | {"max_position_embeddings": LLAMA_DEFAULT}, source)
    write_tokenizer("sentencepiece", source)
    config = json.loads((source / "config.json").read_text())
    del config["max_position_embeddings"]
    (source / "config.json").write_text(json.dumps(config))
    options = BuildOptions(source, tmp_path / "out", context_length=96, measure=False)
    build_model(options, lambda _step, _part: None)
    built = json.loads((tmp_path / "out" / "genai_config.json").read_text())
    assert built["model"]["context_length"] == 96


def _staged(folder: Path, config: dict[str, Any], context_length: int | None) -> dict[str, Any]:
    (folder / "source").mkdir()
    stage(Source(folder / "source", config), folder / "staged", context_length)
    content: dict[str, Any] = json.loads((folder / "staged" / "config.json").read_text())
    return content
