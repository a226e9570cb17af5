"""The files of a training run: the state to resume from, and the Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor
from transformers import GlmForCausalLM

from models.glm_small.chat import CHAT_TEMPLATE, END_OF_TEXT, GMASK, SPECIAL_TOKENS, START, USER
from models.glm_small.network import CONTEXT_TOKENS

_STATE = "training_state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state whole or not at all."""
    unfinished = folder / f"{_STATE}.part"
    torch.save(state, unfinished)
    unfinished.replace(folder / _STATE)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The last saved state, or None in a fresh folder."""
    file = folder / _STATE
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def save_model(folder: Path, model: GlmForCausalLM, vocabulary: SentencePieceProcessor) -> None:
    """Write config.json, generation_config.json, model.safetensors (in the model's dtype) and tokenizer_config.json."""
    model.save_pretrained(folder)
    settings = json.dumps(tokenizer_config(vocabulary), indent=2)
    (folder / "tokenizer_config.json").write_text(settings + "\n", encoding="utf-8")


def tokenizer_config(vocabulary: SentencePieceProcessor) -> dict[str, Any]:
    """What Hugging Face and the daemon need to know besides tokenizer.model."""
    special = {str(vocabulary.piece_to_id(token)): _added_token(token) for token in SPECIAL_TOKENS}
    return {
        "tokenizer_class": "LlamaTokenizer",
        "legacy": False,
        "add_prefix_space": False,
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": None,
        "eos_token": USER,
        "pad_token": END_OF_TEXT,
        "unk_token": "<unk>",
        "prefix_tokens": [GMASK, START],
        "added_tokens_decoder": special,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": CHAT_TEMPLATE,
    }


def _added_token(token: str) -> dict[str, Any]:
    return {
        "content": token,
        "special": True,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
    }
