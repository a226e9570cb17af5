"""Training runs, resumes where it stopped and writes what others can load."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GlmForCausalLM

from autoglmd.messages.generation import Message
from autoglmd.model.tokenizer import load_tokenizer
from models.glm_small.chat import STOP_TOKENS, prompt
from models.glm_small.reference import ReferenceModel
from models.glm_small.train import Plan, Trainer

pytestmark = [pytest.mark.build, pytest.mark.timeout(600)]

SEED = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    return _run(tmp_path_factory.mktemp("run"), steps=2)


def test_a_run_writes_a_hugging_face_folder(trained: Path) -> None:
    """Weights, configuration, vocabulary and chat template are there and fit together."""
    model = GlmForCausalLM.from_pretrained(trained)
    tokenizer, template = load_tokenizer(trained, model.config.vocab_size)
    assert 8_000_000 <= sum(weights.numel() for weights in model.parameters()) <= 12_000_000
    assert [tokenizer.piece(token) for token in model.config.eos_token_id] == list(STOP_TOKENS)
    assert template is not None
    assert template.render([Message("user", "把灯打开")]) == prompt((), "把灯打开")
    assert json.loads((trained / "tokenizer_config.json").read_text())["prefix_tokens"] == ["[gMASK]", "<sop>"]


def test_the_reference_reads_what_was_trained(trained: Path) -> None:
    """The numpy forward pass gives the logits of the saved checkpoint."""
    ids = [2, 3, 5, 8, 100, 200]
    with torch.no_grad():
        expected = GlmForCausalLM.from_pretrained(trained, dtype=torch.float32)(torch.tensor([ids])).logits[0, -2:]
    assert torch.allclose(torch.from_numpy(ReferenceModel(trained).logits(ids, last=2)), expected, atol=1e-4)


def test_a_resumed_run_learns_from_the_batches_that_it_had_not_seen(trained: Path, tmp_path: Path) -> None:
    """Going on from two steps to three changes the weights; a finished run has nothing left to do."""
    before = (trained / "model.safetensors").read_bytes()
    _run(trained, steps=2)
    assert (trained / "model.safetensors").read_bytes() == before
    whole = ReferenceModel(_run(tmp_path, steps=3)).logits([2, 3, 5], last=1)
    resumed = ReferenceModel(_run(trained, steps=3)).logits([2, 3, 5], last=1)
    assert abs(whole - resumed).max() < 0.05


def test_a_run_of_another_recipe_is_not_continued(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that have seen what another split holds out would make the evaluation worthless."""
    monkeypatch.setattr("models.glm_small.train.recipe_digest", lambda: "0123456789abcdef")
    with pytest.raises(ValueError, match=r"holds a run of another recipe \(.*, not 0123456789abcdef with seed 3\)"):
        _run(trained, steps=4)


def _run(folder: Path, steps: int) -> Path:
    Trainer(Plan(folder, steps, SEED, sample_per_group=1)).run()
    return folder
