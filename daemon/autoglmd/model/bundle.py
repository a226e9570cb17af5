"""A bundle: a model as shipped, a folder in onnxruntime-genai's layout.

    genai_config.json   shapes, names of inputs and outputs, end-of-text ids, generation defaults
    model.onnx          the graph (and model.onnx.data, its weights)
    tokenizer.json or tokenizer.model, tokenizer_config.json, chat_template.jinja

Layout: https://onnxruntime.ai/docs/genai/reference/config.html
"""

import hashlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoglmd.config.rooms import BUNDLED_PREFIX
from autoglmd.errors.model import ModelCorruptError, ModelMissingError
from autoglmd.messages.generation import SamplingParams
from autoglmd.model.side_file import read_object

CONFIG_FILE = "genai_config.json"
_BLOCK_BYTES = 1 << 16
_WHOLE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class TensorNames:
    """Names of the graph's inputs and outputs; `%d` stands for the layer."""

    input_ids: str
    attention_mask: str
    position_ids: str
    past_key: str
    past_value: str
    logits: str
    present_key: str
    present_value: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What genai_config.json says, checked.

    Attributes:
        version: what people and clients call this content: 12 hexadecimal digits of a digest over names, sizes and
            bytes, of which files past 64 MiB give samples. It tells models apart and vouches for none.
        tokenizer_digest: the same over the files of tokenizer and chat template alone.
        defaults: generation settings that the model's makers recommend.
    """

    folder: Path
    graph: Path
    version: str
    tokenizer_digest: str
    architecture: str
    vocab_size: int
    context_tokens: int
    layers: int
    query_heads: int
    kv_heads: int
    head_size: int
    eos_ids: tuple[int, ...]
    names: TensorNames
    defaults: SamplingParams


def resolve_folder(path: str) -> Path:
    """The folder that a configured path means; `bundled:NAME` is one that ships inside the package."""
    if path.startswith(BUNDLED_PREFIX):
        return Path(str(importlib.resources.files("autoglmd"))) / "bundled" / path.removeprefix(BUNDLED_PREFIX)
    return Path(path)


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle folder. The graph itself is checked when it is loaded.

    Raises:
        ModelMissingError: the folder, its configuration or its graph is not there.
        ModelCorruptError: the configuration is not what it should be.
    """
    settings = _read_settings(folder)
    try:
        return _checked(folder, settings)
    except KeyError as error:
        raise ModelCorruptError(f"{folder / CONFIG_FILE}: the key {error} is missing.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelCorruptError(f"{folder / CONFIG_FILE}: {error}") from error


def weights_bytes(graph: Path) -> int:
    """Size of a graph file and the external data beside it, in bytes."""
    return sum(file.stat().st_size for file in graph.parent.glob(graph.name + "*"))


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise ModelMissingError(f"{folder} is not a folder. Name one that holds {CONFIG_FILE} and model.onnx.")
    if not path.is_file():
        raise ModelMissingError(
            f"{path} is missing. Make the folder with `autoglmctl model build` or onnxruntime-genai's model builder."
        )
    return read_object(path, ModelCorruptError)


def _checked(folder: Path, settings: dict[str, Any]) -> Bundle:
    model = settings["model"]
    decoder = model["decoder"]
    graph = folder / Path(_text(decoder, "filename", "model.onnx")).name
    if not graph.is_file():
        raise ModelMissingError(f"{graph} is missing; {CONFIG_FILE} names it as the graph.")
    vocab_size = _positive(model, "vocab_size")
    return Bundle(
        folder=folder,
        graph=graph,
        version=_digest(folder, "*"),
        tokenizer_digest=_digest(folder, "*token*", "chat_template*"),
        architecture=str(model.get("type", "unknown")),
        vocab_size=vocab_size,
        context_tokens=_positive(model, "context_length"),
        layers=_positive(decoder, "num_hidden_layers"),
        query_heads=_positive(decoder, "num_attention_heads"),
        kv_heads=_positive(decoder, "num_key_value_heads"),
        head_size=_positive(decoder, "head_size"),
        eos_ids=_end_ids(model.get("eos_token_id"), vocab_size),
        names=_names(decoder),
        defaults=_defaults(settings.get("search", {})),
    )


def _positive(table: dict[str, Any], key: str) -> int:
    value = table[key]
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ValueError(f"{key} = {value!r} is not a positive integer.")
    return value


def _end_ids(value: Any, vocab_size: int) -> tuple[int, ...]:
    """One id, a list of them, or null."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(entry) is int and 0 <= entry < vocab_size for entry in ids):
        raise ValueError(f"eos_token_id = {value!r}: the ids are 0 to {vocab_size - 1}.")
    return tuple(ids)


def _text(table: dict[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} = {value!r} is not a name.")
    return value


def _layered(table: dict[str, Any], key: str, default: str) -> str:
    """A name in which %d stands for the layer."""
    value = _text(table, key, default)
    if value.count("%") != 1 or "%d" not in value:
        raise ValueError(f"{key} = {value!r} does not have one %d for the layer.")
    return value


def _names(decoder: dict[str, Any]) -> TensorNames:
    inputs, outputs = decoder.get("inputs", {}), decoder.get("outputs", {})
    return TensorNames(
        input_ids=_text(inputs, "input_ids", "input_ids"),
        attention_mask=_text(inputs, "attention_mask", "attention_mask"),
        position_ids=_text(inputs, "position_ids", "position_ids"),
        past_key=_layered(inputs, "past_key_names", "past_key_values.%d.key"),
        past_value=_layered(inputs, "past_value_names", "past_key_values.%d.value"),
        logits=_text(outputs, "logits", "logits"),
        present_key=_layered(outputs, "present_key_names", "present.%d.key"),
        present_value=_layered(outputs, "present_value_names", "present.%d.value"),
    )


def _defaults(search: dict[str, Any]) -> SamplingParams:
    # The ranges are those that the contract has for requests.
    penalty = _number(search, "repetition_penalty", (1e-6, 10))
    if not search.get("do_sample", False):
        return SamplingParams(temperature=0.0, repetition_penalty=penalty)
    return SamplingParams(
        temperature=_number(search, "temperature", (0, 5)),
        top_k=_number(search, "top_k", (0, 1 << 31), int),
        top_p=_number(search, "top_p", (1e-6, 1)),
        repetition_penalty=penalty,
    )


def _number(search: dict[str, Any], key: str, bounds: tuple[float, float], kind: type[float] = float) -> Any:
    value = search.get(key)
    if value is None:
        return None
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not low <= value <= high:
        raise ValueError(f"search.{key} = {value!r} is not {kind.__name__} from {low:g} to {high:g}.")
    return value


def _digest(folder: Path, *patterns: str) -> str:
    """See `Bundle.version`."""
    digest = hashlib.sha256()
    for file in sorted({entry for pattern in patterns for entry in folder.glob(pattern) if entry.is_file()}):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        step = _BLOCK_BYTES if size <= _WHOLE_BYTES else size // 64
        with file.open("rb") as content:
            for offset in range(0, size, step):
                content.seek(offset)
                digest.update(content.read(_BLOCK_BYTES))
    return digest.hexdigest()[:12]
