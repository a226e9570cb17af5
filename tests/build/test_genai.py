"""onnxruntime-genai and the daemon load one another's folders, and say the same."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvOptions, KvPrecision, WeightOptions
from tests.build.conftest import MakeCheckpoint
from tests.support.fixture_models import open_runner

PROMPT = np.array([5, 9, 13, 7, 8, 21, 4])
TOKENS = 10


def test_genai_runs_a_folder_of_ours(checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    """The input of which it does not know has a default: the last column, which is what it wants."""
    source = checkpoint("llama", "even")
    options = BuildOptions(source.folder, tmp_path / "ours", WeightOptions(group_size=32), KvOptions(KvPrecision.FP32))
    build_model(options, lambda _step, _part: None)
    assert of_genai(tmp_path / "ours") == of_the_daemon(tmp_path / "ours")


@pytest.mark.parametrize("options", [[], ["prune_lm_head=true"]], ids=["every column", "the last column"])
@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_the_daemon_runs_a_folder_of_genais_own_builder(
    checkpoint: MakeCheckpoint, tmp_path: Path, precision: str, options: list[str]
) -> None:
    """As that builder writes it, with and without its pruning."""
    from onnxruntime_genai.models import builder

    source, folder = str(checkpoint("llama", "even").folder), tmp_path / "theirs"
    with contextlib.redirect_stdout(io.StringIO()):
        parsed = builder.parse_extra_options(None, source, str(folder), precision, "cpu", str(tmp_path / "c"), options)
        builder.create_model(None, source, str(folder), precision, "cpu", str(tmp_path / "c"), **parsed)
    assert of_the_daemon(folder) == of_genai(folder)


def of_the_daemon(folder: Path) -> list[int]:
    """Greedy tokens of the daemon's runner."""
    runner = open_runner(folder, context_tokens=64)
    tokens = [int(runner.prefill(0, PROMPT, 0, final=True)[0].argmax())]
    while len(tokens) < TOKENS:
        held = len(PROMPT) + len(tokens) - 1
        tokens.append(int(runner.decode(np.array(tokens[-1:]), np.array([held]))[0].argmax()))
    runner.close()
    return tokens


def of_genai(folder: Path) -> list[int]:
    """Greedy tokens of onnxruntime-genai."""
    import onnxruntime_genai as genai

    model = genai.Model(str(folder))
    settings = genai.GeneratorParams(model)
    settings.set_search_options(max_length=64, do_sample=False)
    generator = genai.Generator(model, settings)
    generator.append_tokens(PROMPT[None].astype(np.int32))
    tokens: list[int] = []
    while len(tokens) < TOKENS:
        generator.generate_next_token()
        tokens.append(int(generator.get_next_tokens()[0]))
    return tokens
