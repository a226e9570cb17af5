"""What the runner refuses to load, and what it does with rows that are not the host's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelCorruptError, ModelError, ModelUnsupportedError
from autoglmd.model.bundle import CONFIG_FILE, read_bundle
from autoglmd.model.device import CPU, DeviceChoice
from autoglmd.model.kv_rows import _COPY_GRAPH, DeviceKvRows
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions
from tests.support.fixture_models import FOLDER, TINY_MODELS, copy_bundle, edit_json, open_runner

Settings = dict[str, Any]
PROMPT = np.random.default_rng(0).integers(6, 512, 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a whole bundle, to be broken."""
    return copy_bundle("tiny-fp32", tmp_path / "model")


@pytest.mark.parametrize("keep", [0, 1, 0.01, 0.5, 0.999])
def test_a_truncated_graph_is_corrupt(folder: Path, keep: float) -> None:
    """However much of model.onnx arrived, the error names it and the remedy."""
    graph = folder / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[: int(len(whole) * keep) if keep < 1 else 1])
    with pytest.raises(ModelCorruptError, match=rf"{graph} cannot be loaded: .*Copy the bundle again") as refusal:
        open_runner(folder)
    assert len(refusal.value.message) < 600


def test_a_graph_that_is_no_graph_is_corrupt(folder: Path) -> None:
    """Some other file under the graph's name."""
    (folder / "model.onnx").write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ModelCorruptError):
        open_runner(folder)


@pytest.mark.parametrize("keep", [None, 0.0, 0.5, 0.999])
def test_missing_or_truncated_weights_are_corrupt(folder: Path, keep: float | None) -> None:
    """model.onnx.data is not there, or not all of it; the error has both sizes."""
    data = folder / "model.onnx.data"
    whole = data.read_bytes()
    size = int(len(whole) * (keep or 0))
    if keep is None:
        data.unlink()
    else:
        data.write_bytes(whole[:size])
    told = rf"{data} has {size} bytes; the graph needs {len(whole)}\. Copy the bundle again"
    with pytest.raises(ModelCorruptError, match=told):
        open_runner(folder)


def test_weights_that_are_not_numbers_are_corrupt(folder: Path) -> None:
    """A first run finds what the size of a file does not tell."""
    data = folder / "model.onnx.data"
    data.write_bytes(b"\xff" * data.stat().st_size)
    with pytest.raises(ModelCorruptError, match="not numbers; its weights are broken"):
        open_runner(folder)


def test_a_whole_graph_that_is_no_decoder_is_unsupported(folder: Path) -> None:
    """Inputs and outputs are not those of a language model."""
    (folder / "model.onnx").write_bytes(_COPY_GRAPH)
    with pytest.raises(ModelUnsupportedError, match=r"past_key_values\.0\.key"):
        open_runner(folder)


@pytest.mark.parametrize(
    ("name", "renamed", "said"),
    [
        (b"attention_mask", b"attention_rank", r"missing \['attention_mask'\], unknown \['attention_rank'\]"),
        (b"input_ids", b"input_jds", r"missing \['input_ids'\], unknown \['input_jds'\]"),
        (b"past_key_values.1.key", b"post_key_values.1.key", r"input past_key_values\.1\.key"),
        (b"present.0.value", b"prosent.0.value", r"output present\.0\.value"),
    ],
)
def test_inputs_and_outputs_that_we_do_not_know_are_named(folder: Path, name: bytes, renamed: bytes, said: str) -> None:
    """A decoder of another kind is refused by the names that it has and lacks."""
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes().replace(name, renamed))
    with pytest.raises(ModelUnsupportedError, match=said):
        open_runner(folder)


@pytest.mark.parametrize(
    ("where", "key", "value", "said"),
    [
        ("decoder", "num_hidden_layers", 3, "says 3 layers. The graph and its configuration do not match"),
        ("decoder", "num_hidden_layers", 1, r"unknown \['past_key_values\.1\.key'"),
        ("decoder", "num_key_value_heads", 4, "2 KV heads and genai_config.json says 4"),
        ("decoder", "num_key_value_heads", 1, "2 KV heads and genai_config.json says 1"),
        ("decoder", "head_size", 64, "got 64 expected 32"),
        ("model", "vocab_size", 256, "512 logits and genai_config.json says 256"),
        ("model", "vocab_size", 5120, "512 logits and genai_config.json says 5120"),
    ],
)
def test_a_configuration_of_another_model_is_refused_with_both_numbers(
    folder: Path, where: str, key: str, value: int, said: str
) -> None:
    """Layers, heads, sizes and vocabulary are compared with the graph before anything runs."""

    def spoil(settings: Settings) -> None:
        table = settings["model"]["decoder"] if where == "decoder" else settings["model"]
        table[key] = value
        settings["model"].pop("eos_token_id")

    edit_json(folder / CONFIG_FILE, spoil)
    with pytest.raises(ModelUnsupportedError, match=said):
        open_runner(folder)


@pytest.mark.parametrize("spoil", [0, 100, 5_000, 12_000])
def test_flipped_bits_in_a_graph_never_end_the_process(folder: Path, spoil: int) -> None:
    """Whatever onnxruntime makes of it, it is a ModelError or a model that runs."""
    graph = folder / "model.onnx"
    content = bytearray(graph.read_bytes())
    for offset in range(spoil, min(spoil + 40, len(content)), 7):
        content[offset] ^= 0x55
    graph.write_bytes(content)
    try:
        runner = open_runner(folder)
        runner.decode(np.array([5]), np.array([0]))
        runner.close()
        said = f"{folder} runs"
    except ModelError as refusal:
        said = str(refusal)
    assert str(folder) in said


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_loaded_model_says_what_it_is(name: str) -> None:
    """Precisions come from the graph, not from the folder's name."""
    runner = open_runner(FOLDER / name, rows=2, context_tokens=100_000)
    spec = runner.spec
    precision, kv = {
        "tiny-fp32": ("fp32", "float32"),
        "tiny-int8": ("int8-groups", "int8"),
        "tiny-per-token": ("int8-per-token", "float32"),
        "tiny-unpruned": ("int8-groups", "float32"),
        "tiny-last-column": ("int8-groups", "float32"),
    }[name]
    assert (spec.precision, spec.kv_precision, spec.layers, spec.rows) == (precision, kv, 2, 2)
    assert (spec.context_tokens, spec.vocab_size, spec.provider, spec.fallback) == (512, 512, CPU, "")
    assert spec.kv_bytes_per_token == 2 * 2 * 2 * 32 * (1 if kv == "int8" else 4)
    runner.close()


@pytest.mark.parametrize("name", TINY_MODELS)
def test_rows_allocated_through_onnxruntime_give_the_same_logits(name: str) -> None:
    """The rows of an accelerator, tried on the CPU: bound in place, moved, and bit for bit those of the host."""
    host, device = open_runner(FOLDER / name), open_runner(FOLDER / name)
    device._bindings.clear()
    device._kv = DeviceKvRows(device._tensors, 4, device._context, (CPU,), "cpu")
    seen = []
    for runner in (host, device):
        runner.prefill(3, PROMPT[:16], 0, final=False)
        seen.append(runner.prefill(3, PROMPT[16:19], 16, final=True).copy())
        seen.append(runner.prefill_fresh(0, PROMPT[None, :7], np.array([7])).copy())
        runner.move(3, 1, 19)
        seen.append(runner.decode(PROMPT[[7, 19]], np.array([7, 19])).copy())
        runner.close()
    assert all(np.array_equal(one, other) for one, other in zip(seen[:3], seen[3:], strict=True))


def test_rows_that_the_box_has_no_memory_for_are_refused_with_the_numbers() -> None:
    """More than any address space: the error says how much, and what to lower."""
    with pytest.raises(HostError, match=r"of 1099511627776 rows of 512 tokens take \d+ MiB.*Lower engine\.rows"):
        open_runner(FOLDER / "tiny-fp32", rows=1 << 40)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_told_as_a_fallback() -> None:
    """Onnxruntime goes on without it; the daemon says so, loudly."""
    bundle = read_bundle(FOLDER / "tiny-fp32")
    wanted = DeviceChoice("cuda", ("CUDAExecutionProvider", CPU))
    runner = OrtRunner(bundle, RunnerOptions(bundle.graph, False, wanted, "", 2, 64, 1))
    assert runner.spec.provider == CPU
    assert runner.spec.fallback.startswith("CUDAExecutionProvider is installed and does not start here")
    runner.close()


def test_bindings_are_kept_and_bounded() -> None:
    """One per run of rows, the oldest dropped: a hundred thousand steps hold no more than a hundred."""
    runner = open_runner(FOLDER / "tiny-int8", rows=16)
    for first in range(16):
        for rows in range(1, 17 - first):
            runner.prefill_fresh(first, np.full((rows, 3), 5), np.full(rows, 3))
    assert len(runner._bindings) == 128
    runner.close()


def test_logits_of_a_prefill_are_not_kept() -> None:
    """A graph that is not pruned makes logits for every prompt token; held by each binding they would be gigabytes."""
    runner = open_runner(FOLDER / "tiny-unpruned")
    runner.prefill(3, PROMPT, 0, final=True)
    (binding,) = [each for key, each in runner._bindings.items() if key == (3, 1)]
    held = [value.shape() for value in binding.get_outputs() if value.has_value()]
    assert held
    assert all(shape[-1] != 512 for shape in held)
    runner.close()


def test_a_run_that_fails_raises_and_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The log is ours: a line of onnxruntime's would be no JSON and name no request."""
    runner = open_runner(FOLDER / "tiny-int8")
    with pytest.raises(Exception, match="GroupQueryAttention"):
        runner.decode(PROMPT[:1], np.array([600]))
    runner.close()
    assert capfd.readouterr().err == ""


def test_a_chunk_after_a_longer_prompt_is_computed() -> None:
    """What the last one wanted to know is forgotten."""
    runner = open_runner(FOLDER / "tiny-fp32")
    runner.prefill(0, PROMPT, 0, final=True)
    assert runner.prefill(0, PROMPT[:5], 0, final=False).shape == (0, 512)
    runner.close()


def alone(name: str, chunks: list[int]) -> np.ndarray:
    """Logits `[2, vocab]` of a prompt that was prefilled in these chunks, and of one decode behind it."""
    runner = open_runner(FOLDER / name)
    past, total = 0, sum(chunks)
    for count in chunks:
        logits = runner.prefill(3, PROMPT[past : past + count], past, final=past + count == total)
        past += count
        assert len(logits) == (past == total)
    first = logits.copy()
    runner.move(3, 0, past)
    second = runner.decode(PROMPT[past : past + 1], np.array([past])).copy()
    runner.close()
    return np.concatenate([first, second])


@pytest.mark.parametrize("name", TINY_MODELS)
@pytest.mark.parametrize(
    "chunks", [[18, 1], [1, 18], [9, 1, 9], [1] * 19, [2, 3, 5, 9], [65], [129], [193], [40, 65], [100, 1, 64, 8]]
)
def test_chunks_of_any_size_give_the_same_logits(name: str, chunks: list[int]) -> None:
    """Bit for bit: also chunks of one token, or of one more than attention takes at once."""
    steps = [2] * (sum(chunks) // 2) + [1] * (sum(chunks) % 2)
    assert np.array_equal(alone(name, chunks), alone(name, steps))


@pytest.mark.parametrize("name", TINY_MODELS)
@pytest.mark.parametrize("length", [1, 2, 7, 63, 64, 65, 129])
def test_fresh_prompts_in_one_run_give_the_same_logits_as_alone(name: str, length: int) -> None:
    """Bit for bit, whatever the neighbours' lengths, in whichever row."""
    runner = open_runner(FOLDER / name)
    lengths = np.array([length + 5, length, max(1, length - 1)])
    ids = np.zeros((3, length + 5), np.int64)
    for row, count in zip(ids, lengths, strict=True):
        row[:count] = PROMPT[:count]
    first = runner.prefill_fresh(0, ids, lengths)[1].copy()
    second = runner.decode(PROMPT[lengths], lengths)[1].copy()
    runner.close()
    assert np.array_equal([first, second], alone(name, [length]))


@pytest.mark.parametrize("name", TINY_MODELS)
def test_the_first_logits_are_those_of_the_prompts_last_token(name: str) -> None:
    """Whatever the graph tells of: all columns, one that it is told, or the last one. Decoding gives nearly the same.

    Not the same bits: attention has another kernel for a single token.
    """
    runner = open_runner(FOLDER / name)
    lengths = np.array([9, 4, 6])
    ids = np.where(np.arange(9) < lengths[:, None], PROMPT[:9], 0)
    first = runner.prefill_fresh(0, ids, lengths).copy()
    again = runner.decode(PROMPT[lengths - 1], lengths - 1).copy()
    runner.close()
    assert np.abs(first - again).max() < 0.05 * np.abs(first).max()
    assert first.shape == (3, 512)


def test_the_last_position_of_a_row_can_be_computed_alone() -> None:
    """A chunk of one token at the very end of the context."""
    runner = open_runner(FOLDER / "tiny-fp32", context_tokens=20)
    runner.prefill(0, PROMPT[:19], 0, final=False)
    assert runner.prefill(0, PROMPT[19:20], 19, final=True).shape == (1, 512)
    runner.close()
