"""From a Hugging Face folder to a float32 graph, by onnxruntime-genai's model builder."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoglmctl.build import graph
from autoglmctl.build.host_limits import is_refusal
from autoglmd.errors.model import ModelCorruptError, ModelUnsupportedError

BUILDER_OPTIONS = ["hf_token=false", "windowed_kv_cache=false"]
"""Ask nobody for a token; keep every layer's KV cache at full length, as the engine's rows are."""
HEAD_SIZE_MULTIPLE = 16
RUNNABLE_INPUTS = ("input_ids", "attention_mask", "position_ids", "past_key_values.")


def export_float(source: Path, output: Path) -> None:
    """Write `source` as an unpruned float32 graph, genai_config.json and tokenizer files into `output`.

    The logits are those of every position, which calibration and measurement need.

    Raises:
        ModelUnsupportedError: the builder does not know the architecture, or it keeps a state that is no KV cache.
        ModelCorruptError: the weights cannot be read.
    """
    from safetensors import SafetensorError

    try:
        _export(source, output)
    except Exception as error:
        if is_refusal(error):
            raise
        if isinstance(error, SafetensorError | OSError):
            raise ModelCorruptError(f"The checkpoint cannot be read: {_first_line(error)}") from error
        raise ModelUnsupportedError(f"The checkpoint cannot be exported: {_first_line(error)}") from error
    _check_runnable(output)


def _export(source: Path, output: Path) -> None:
    from onnxruntime_genai.models import builder

    from autoglmctl.build.architectures import OWN, adapt

    with tempfile.TemporaryDirectory() as cache, _quiet():
        options = builder.parse_extra_options(None, str(source), str(output), "fp32", "cpu", cache, BUILDER_OPTIONS)
        config = options["hf_details"]["hf_config"]
        adapt(config)
        if config.architectures[0] in OWN:
            _export_own(builder, OWN[config.architectures[0]], options, output)
        else:
            builder.create_model(None, str(source), str(output), "fp32", "cpu", cache, **options)


def _export_own(builder: Any, kind: Any, options: dict[str, Any], output: Path) -> None:
    """Do what `builder.create_model` does for the architectures that it knows."""
    details = options.pop("hf_details")
    options.pop("_effective_builder_config", None)
    config, name, extra = details["hf_config"], details["hf_name"], details["extra_kwargs"]
    io_type = builder.set_io_dtype("fp32", "cpu", options)
    model = kind(config, io_type, builder.set_onnx_dtype("fp32", options), "cpu", str(output), options)
    with builder.torch.no_grad():
        model.make_model(name)
    output.mkdir(parents=True, exist_ok=True)
    model.save_model(str(output))
    model.make_genai_config(config, extra, str(output))
    model.save_processing(name, extra, str(output))


def _check_runnable(folder: Path) -> None:
    """Refuse what the builder exports and the attention operator or the engine cannot run."""
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    head_size = config["model"]["decoder"]["head_size"]
    if head_size % HEAD_SIZE_MULTIPLE:
        raise ModelUnsupportedError(
            f"The heads have {head_size} dimensions; GroupQueryAttention wants a multiple of {HEAD_SIZE_MULTIPLE}."
        )
    names = [value.name or "" for value in graph.load(folder).graph.inputs]
    strange = [name for name in names if not name.startswith(RUNNABLE_INPUTS)]
    if strange:
        raise ModelUnsupportedError(
            f"The model keeps more than keys and values ({', '.join(strange[:3])} ...); the engine cannot run it."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the builder's chatter (prints and tqdm bars) off the terminal; it says nothing that errors do not."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
