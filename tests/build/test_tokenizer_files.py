"""The tokenizer reaches the built model unchanged, and generation ends where its turns end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, Precision, WeightOptions
from autoglmctl.build.text import MOST_TOKENS, WINDOW_TOKENS, read_text, tokenize, windows
from autoglmctl.build.tokenizer_files import end_of_turn_ids
from autoglmd.errors.model import TokenizerError
from autoglmd.errors.request import InvalidArgumentError
from tests.build.conftest import MakeCheckpoint
from tests.support.make_tiny_models import write_tokenizer


@pytest.mark.parametrize("kind", ["sentencepiece", "json"])
def test_tokenizer_files_are_copied_byte_for_byte(checkpoint: MakeCheckpoint, tmp_path: Path, kind: str) -> None:
    """Whatever transformers would have made of them, the daemon reads what the model's makers wrote."""
    source = _source(checkpoint, tmp_path, kind)
    (source / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    _build(source, tmp_path / "out")
    name = "tokenizer.model" if kind == "sentencepiece" else "tokenizer.json"
    for file in (name, "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "out" / file).read_bytes() == (source / file).read_bytes()
    others = {"tokenizer.model", "tokenizer.json"} - {name}
    assert not any((tmp_path / "out" / other).exists() for other in others)


def test_the_built_folder_has_the_layout_of_onnxruntime_genai(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """One graph, its weights, the configuration; names of past and present as the engine expects them."""
    _build(checkpoint("glm", "even").folder, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.model"} <= names
    model = json.loads((tmp_path / "out" / "genai_config.json").read_text())["model"]
    assert model["decoder"]["inputs"]["past_key_names"] == "past_key_values.%d.key"
    assert model["type"] == "glm"


def test_generation_also_ends_where_the_tokenizer_ends_a_turn(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """config.json of chat models often names the end of a text only."""
    source = _source(checkpoint, tmp_path, "json")
    path = source / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"eos_token": {"content": "<|user|>"}}
    path.write_text(json.dumps(settings))
    _build(source, tmp_path / "out")
    model = json.loads((tmp_path / "out" / "genai_config.json").read_text())["model"]
    assert model["eos_token_id"] == [2, *end_of_turn_ids(source)]
    assert len(model["eos_token_id"]) == 2


def test_an_end_of_turn_that_nobody_knows_adds_nothing(tmp_path: Path) -> None:
    """No tokenizer_config.json, no eos_token in it, or one without an id."""
    assert end_of_turn_ids(tmp_path) == []
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|gone|>"}')
    assert end_of_turn_ids(tmp_path) == []
    (tmp_path / "tokenizer_config.json").write_text(
        '{"eos_token": "<|end|>", "added_tokens_decoder": {"7": {"content": "<|end|>"}}}'
    )
    assert end_of_turn_ids(tmp_path) == [7]


def test_an_old_vocabulary_becomes_a_tokenizer_json(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """Folders with vocab.json and merges.txt alone are converted by transformers."""
    source = _source(checkpoint, tmp_path, "json", "qwen2")
    model = json.loads((source / "tokenizer.json").read_text())["model"]
    (source / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (source / "merges.txt").write_text("#version: 0.2\n" + merges + "\n", encoding="utf-8")
    (source / "tokenizer.json").unlink()
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    _build(source, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert tokenize(tmp_path / "out", "你好").size > 0


def test_windows_cover_the_text_up_to_a_limit() -> None:
    """Full windows, a shorter last one, and no more tokens than memory should hold."""
    cut = windows(np.arange(1300) % 50, 4096, 50)
    assert [window.size for window in cut] == [WINDOW_TOKENS, WINDOW_TOKENS, 1300 - 2 * WINDOW_TOKENS]
    assert sum(window.size for window in windows(np.zeros(100_000, dtype=np.int64), 64, 50)) == MOST_TOKENS


def test_a_single_token_is_too_little() -> None:
    """Nothing can be predicted from nothing."""
    with pytest.raises(InvalidArgumentError, match="gives 1 tokens"):
        windows(np.array([5]), 4096, 50)


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    """They belong to another model's tokenizer."""
    with pytest.raises(TokenizerError, match="gives id 50"):
        windows(np.array([5, 50]), 4096, 50)


def test_the_text_that_ships_is_chinese_and_english() -> None:
    """Calibration without a file sees both of the default model's languages."""
    text = read_text(None)
    assert "你好" in text
    assert "Please" in text
    assert len(text) > 1000


def _source(checkpoint: MakeCheckpoint, tmp_path: Path, kind: str, model_type: str = "glm") -> Path:
    source = Path(shutil.copytree(checkpoint(model_type, "even").folder, tmp_path / "source"))
    (source / "tokenizer.model").unlink()
    write_tokenizer(kind, source)
    return source


def _build(source: Path, output: Path) -> None:
    weights, kv = WeightOptions(Precision.FP32), KvOptions(KvPrecision.FP32)
    build_model(BuildOptions(source, output, weights, kv, measure=False), lambda _step, _part: None)
