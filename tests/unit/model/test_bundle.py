"""genai_config.json: whole, missing, corrupt and absurd."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoglmd.errors.model import ModelCorruptError, ModelMissingError
from autoglmd.model.bundle import CONFIG_FILE, read_bundle, resolve_folder, weights_bytes
from tests.support.fixture_models import FOLDER, copy_bundle, edit_json

Settings = dict[str, Any]
Edit = Callable[[Settings], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a whole bundle, to be broken."""
    return copy_bundle("tiny-int8", tmp_path / "model")


def decoder(settings: Settings) -> Settings:
    """The table of the graph."""
    found: Settings = settings["model"]["decoder"]
    return found


def test_a_bundle_says_what_its_model_is() -> None:
    """Shapes, ids, names and defaults, as genai_config.json has them."""
    bundle = read_bundle(FOLDER / "tiny-int8")
    assert (bundle.vocab_size, bundle.context_tokens, bundle.layers) == (512, 512, 2)
    assert (bundle.kv_heads, bundle.head_size, bundle.eos_ids) == (2, 32, (2,))
    assert (bundle.architecture, bundle.graph.name) == ("glm", "model.onnx")
    assert bundle.names.past_key % 1 == "past_key_values.1.key"
    assert (bundle.defaults.temperature, bundle.defaults.repetition_penalty) == (0.0, 1.0)


def test_a_model_that_samples_by_default_brings_its_settings(folder: Path) -> None:
    """What the makers recommend, where they recommend sampling."""
    search = {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1}
    edit_json(folder / CONFIG_FILE, lambda settings: settings.update(search=search))
    defaults = read_bundle(folder).defaults
    assert (defaults.temperature, defaults.top_k, defaults.top_p) == (0.8, 40, 0.9)
    assert defaults.repetition_penalty == 1.1


def test_the_version_is_that_of_the_content(folder: Path, tmp_path: Path) -> None:
    """Copies have the same one; one byte more or other in any file makes another."""
    version = read_bundle(folder).version
    assert read_bundle(copy_bundle("tiny-int8", tmp_path / "copy")).version == version
    data = folder / "model.onnx.data"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    changed = read_bundle(folder).version
    (folder / "note.txt").write_text("x")
    assert len({version, changed, read_bundle(folder).version}) == 3


def test_the_weights_size_counts_graph_and_data() -> None:
    """model.onnx and model.onnx.data."""
    graph = FOLDER / "tiny-int8" / "model.onnx"
    assert weights_bytes(graph) == graph.stat().st_size + (graph.parent / "model.onnx.data").stat().st_size


def test_a_bundled_name_is_a_folder_inside_the_package() -> None:
    """Anything else is a path as it stands."""
    assert resolve_folder("bundled:glm-small").parts[-3:] == ("autoglmd", "bundled", "glm-small")
    assert resolve_folder("/srv/models/x") == Path("/srv/models/x")


def test_a_missing_folder_is_named_with_what_should_be_there(tmp_path: Path) -> None:
    """A path that does not exist, or is a file."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ModelMissingError, match=f"{path} is not a folder. Name one that holds genai_config.json"):
            read_bundle(path)


@pytest.mark.parametrize("missing", [CONFIG_FILE, "model.onnx"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    """The configuration, or the graph that it names."""
    (folder / missing).unlink()
    with pytest.raises(ModelMissingError, match=f"{folder / missing} is missing"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b'{"model": {', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "holds list, not an object"),
        (b"{}", "the key 'model' is missing"),
        (b'{"model": {}}', "the key 'decoder' is missing"),
        (b'{"model": []}', CONFIG_FILE),
        (b'{"model": {"decoder": "x"}}', CONFIG_FILE),
    ],
)
def test_a_configuration_that_is_none_is_corrupt(folder: Path, content: bytes, said: str) -> None:
    """Empty, truncated, not text, too deep, or something else altogether."""
    (folder / CONFIG_FILE).write_bytes(content)
    with pytest.raises(ModelCorruptError, match=said):
        read_bundle(folder)


def test_a_configuration_of_absurd_size_is_not_read(folder: Path) -> None:
    """100 MB of configuration are refused by their size alone."""
    with (folder / CONFIG_FILE).open("r+b") as file:
        file.truncate(100 << 20)
    with pytest.raises(ModelCorruptError, match="has 104857600 bytes"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "key",
    ["vocab_size", "context_length", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_size"],
)
@pytest.mark.parametrize("value", [None, 0, -1, 1 << 40, 2.5, "64", True, []])
def test_a_size_that_is_none_is_named_with_its_value(folder: Path, key: str, value: object) -> None:
    """Missing, zero, negative, absurd, or not an integer at all."""

    def spoil(settings: Settings) -> None:
        table = settings["model"] if key in settings["model"] else decoder(settings)
        if value is None:
            del table[key]
        else:
            table[key] = value

    edit_json(folder / CONFIG_FILE, spoil)
    with pytest.raises(ModelCorruptError, match=f"{key}'? (=|is missing)") as refusal:
        read_bundle(folder)
    assert value is None or repr(value) in refusal.value.message


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s["model"].update({"eos_token_id": "end"}), "eos_token_id"),
        (lambda s: s["model"].update(eos_token_id=[2, None]), "eos_token_id"),
        (lambda s: s["model"].update(eos_token_id=True), "eos_token_id"),
        (lambda s: s["model"].update(eos_token_id=-5), "eos_token_id"),
        (lambda s: s["model"].update(eos_token_id=512), "eos_token_id"),
        (lambda s: decoder(s).update(filename=5), "filename"),
        (lambda s: decoder(s).update(filename=""), "filename"),
        (lambda s: decoder(s).update(inputs=[]), CONFIG_FILE),
        (lambda s: decoder(s)["inputs"].update(input_ids=7), "input_ids"),
        (lambda s: decoder(s)["inputs"].update(past_key_names="past.key"), "past_key_names"),
        (lambda s: decoder(s)["inputs"].update(past_key_names="past.%d.%d"), "past_key_names"),
        (lambda s: decoder(s)["outputs"].update(present_value_names="present.%s.value"), "present_value_names"),
        (lambda s: s.update(search=[]), CONFIG_FILE),
        (lambda s: s.update(search={"do_sample": True, "temperature": "hot"}), "temperature"),
        (lambda s: s.update(search={"do_sample": True, "temperature": -1}), "temperature"),
        (lambda s: s.update(search={"do_sample": True, "top_k": 2.5}), "top_k"),
        (lambda s: s.update(search={"do_sample": True, "top_k": -1}), "top_k"),
        (lambda s: s.update(search={"do_sample": True, "top_p": 0}), "top_p"),
        (lambda s: s.update(search={"do_sample": True, "top_p": 1.5}), "top_p"),
        (lambda s: s.update(search={"repetition_penalty": 0}), "repetition_penalty"),
        (lambda s: s.update(search={"repetition_penalty": float("nan")}), "repetition_penalty"),
    ],
)
def test_an_absurd_value_is_corrupt_and_named(folder: Path, spoil: Edit, said: str) -> None:
    """What the engine would trip over later is refused when the bundle is read."""
    edit_json(folder / CONFIG_FILE, spoil)  # type: ignore[arg-type]
    with pytest.raises(ModelCorruptError, match=said):
        read_bundle(folder)


def test_the_graphs_name_cannot_lead_out_of_the_folder(folder: Path) -> None:
    """Only the last part of a path counts."""
    edit_json(folder / CONFIG_FILE, lambda settings: decoder(settings).update(filename="../../etc/passwd"))
    with pytest.raises(ModelMissingError, match=f"{folder / 'passwd'} is missing"):
        read_bundle(folder)


def test_what_may_be_left_out_has_its_usual_value(folder: Path) -> None:
    """Names of inputs, end-of-text ids and defaults are optional in this layout."""

    def strip(settings: Settings) -> None:
        for key in ("inputs", "outputs", "filename"):
            decoder(settings).pop(key)
        settings.pop("search")
        settings["model"].pop("eos_token_id")

    edit_json(folder / CONFIG_FILE, strip)
    bundle = read_bundle(folder)
    assert bundle.names == read_bundle(FOLDER / "tiny-int8").names
    assert (bundle.eos_ids, bundle.graph.name) == ((), "model.onnx")
    assert json.loads((folder / CONFIG_FILE).read_bytes())["model"]["decoder"].keys().isdisjoint({"inputs", "filename"})
