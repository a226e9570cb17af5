"""Makes the tiny random-weight models in tests/fixtures/models (needs the extra `[build]`).

    python tests/support/make_tiny_models.py

Their answers are noise, but always the same noise: weights and tokenizers come from fixed seeds and the text below.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoglmctl.build.build import build_model
from autoglmctl.build.options import (
    BuildOptions,
    KvOptions,
    KvPrecision,
    Precision,
    Scheme,
    WeightOptions,
)
from autoglmd.model.graph_io import LOGITS_INDICES

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "models"
VOCABULARY = 512
CHAT_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXT = """\
你好,介绍一下你自己。我是一个运行在本地设备上的小模型。
把客厅的灯调到50%,把空调温度设为二十六度,然后关闭窗帘。
今天天气怎么样?今天多云转晴,最高气温二十三度。
打开卧室的灯。关闭厨房的灯。现在几点了?现在是上午九点。
Hello, please introduce yourself. I am a small model that runs on this device.
Turn off the lights in the bedroom and close the curtains in the living room.
What is the weather like today? It is cloudy today and sunny tomorrow.
The quick brown fox jumps over the lazy dog while the cat sleeps in the sun.
"""
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@dataclass(frozen=True)
class Recipe:
    """One fixture: which architecture, which tokenizer, how it is built."""

    name: str
    model_type: str
    tokenizer: str
    weights: WeightOptions
    kv: KvPrecision
    prune: bool = True
    fixed_column: bool = False


RECIPES = (
    Recipe("tiny-fp32", "glm", "sentencepiece", WeightOptions(Precision.FP32), KvPrecision.FP32),
    Recipe("tiny-int8", "glm", "sentencepiece", WeightOptions(group_size=32), KvPrecision.INT8),
    Recipe("tiny-per-token", "llama", "json", WeightOptions(scheme=Scheme.PER_TOKEN), KvPrecision.FP32),
    Recipe("tiny-unpruned", "llama", "json", WeightOptions(group_size=32), KvPrecision.FP32, prune=False),
    Recipe("tiny-last-column", "llama", "json", WeightOptions(group_size=32), KvPrecision.FP32, fixed_column=True),
)


def main() -> None:
    """Make every fixture anew."""
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as work:
            source = Path(work) / "source"
            make_checkpoint(recipe.model_type, SHAPE, source)
            write_tokenizer(recipe.tokenizer, source)
            target = FOLDER / recipe.name
            shutil.rmtree(target, ignore_errors=True)
            options = BuildOptions(
                source,
                target,
                weights=recipe.weights,
                kv=KvOptions(recipe.kv),
                prune_lm_head=recipe.prune,
                measure=False,
            )
            build_model(options, lambda _step, _part: None)
            if recipe.fixed_column:
                _fix_column(target)


def _fix_column(folder: Path) -> None:
    """Make the graph one that others prune: it gives the last column's logits, and cannot be told otherwise."""
    import onnx_ir as ir

    from autoglmctl.build import graph

    model = graph.load(folder)
    kept = [value for value in model.graph.inputs if value.name != LOGITS_INDICES]
    model.graph.inputs.clear()
    model.graph.inputs.extend(kept)
    unfinished = folder / "model.onnx.new"
    ir.save(model, unfinished)
    unfinished.replace(folder / graph.MODEL_FILE)


def make_checkpoint(model_type: str, shape: dict[str, Any], folder: Path, seed: int = 0) -> None:
    """Write a random-weight checkpoint that transformers can load; norms and biases are random too."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
    model.save_pretrained(folder)


def write_tokenizer(kind: str, folder: Path) -> None:
    """Write a tokenizer trained on `TEXT`, its chat template and its special tokens."""
    if kind == "sentencepiece":
        _write_sentencepiece(folder)
    else:
        _write_byte_level(folder)
    settings = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": CHAT_TEMPLATE,
        "tokenizer_class": "LlamaTokenizer" if kind == "sentencepiece" else "PreTrainedTokenizerFast",
    }
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_sentencepiece(folder: Path) -> None:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines() * 20),
        model_writer=model,
        vocab_size=VOCABULARY,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        user_defined_symbols=list(CHAT_TOKENS),
        normalization_rule_name="identity",
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())


def _write_byte_level(folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>", *CHAT_TOKENS)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
