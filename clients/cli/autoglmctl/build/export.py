"""From a Hugging Face folder to a float32 graph, by onnxruntime-genai's model builder."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GLM_ARCHITECTURES = ("GlmForCausalLM", "Glm4ForCausalLM")


def export_float(source: Path, output: Path) -> None:
    """Write `source` as an unpruned float32 graph, genai_config.json and tokenizer files into `output`.

    The logits are those of every position, which calibration and measurement need.
    """
    from onnxruntime_genai.models import builder

    with tempfile.TemporaryDirectory() as cache, _quiet():
        options = builder.parse_extra_options(None, str(source), str(output), "fp32", "cpu", cache, ["hf_token=false"])
        architecture = options["hf_details"]["hf_config"].architectures[0]
        if architecture in GLM_ARCHITECTURES:
            _export_glm(builder, architecture, options, output)
        else:
            builder.create_model(None, str(source), str(output), "fp32", "cpu", cache, **options)


def _export_glm(builder: Any, architecture: str, options: dict[str, Any], output: Path) -> None:
    from autoglmctl.build.glm import Glm4Model, GlmModel

    details = options.pop("hf_details")
    options.pop("_effective_builder_config", None)
    config, name, extra = details["hf_config"], details["hf_name"], details["extra_kwargs"]
    kind = Glm4Model if architecture == "Glm4ForCausalLM" else GlmModel
    io_type = builder.set_io_dtype("fp32", "cpu", options)
    model = kind(config, io_type, builder.set_onnx_dtype("fp32", options), "cpu", str(output), options)
    with builder.torch.no_grad():
        model.make_model(name)
    output.mkdir(parents=True, exist_ok=True)
    model.save_model(str(output))
    model.make_genai_config(config, extra, str(output))
    model.save_processing(name, extra, str(output))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the builder's chatter (prints and tqdm bars) off the terminal; it says nothing that errors do not."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
