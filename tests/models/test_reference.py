"""The numpy forward pass is transformers' GLM."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GlmConfig, GlmForCausalLM

from models.glm_small.reference import ReferenceModel

pytestmark = pytest.mark.build


@pytest.mark.parametrize("tied", [True, False])
def test_the_reference_agrees_with_transformers(tmp_path: Path, tied: bool) -> None:
    """Logits of a random GLM agree to 1e-4, with tied and with separate output weights."""
    torch.manual_seed(1)
    config = GlmConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        attention_bias=False,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        pad_token_id=0,
    )
    model = GlmForCausalLM(config)
    model.save_pretrained(tmp_path)
    ids = list(range(3, 40, 2))
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    got = ReferenceModel(tmp_path).logits(ids, last=len(ids))
    np.testing.assert_allclose(got, expected, atol=1e-4)
