"""What bad input gets: an error that names the thing and the remedy, and nothing left behind."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoglmctl.build.build import build_model
from autoglmctl.build.options import BuildOptions, KvOptions, Scheme, WeightOptions
from autoglmd.errors.base import AutoglmError
from autoglmd.errors.model import ModelCorruptError, ModelMissingError, ModelUnsupportedError, TokenizerError
from autoglmd.errors.request import InvalidArgumentError, NotSupportedError
from tests.build.checkpoints import EVEN, make
from tests.build.conftest import MakeCheckpoint
from tests.support.make_tiny_models import make_checkpoint

Damage = Callable[[Path], object]


@pytest.fixture
def options(checkpoint: MakeCheckpoint, tmp_path: Path) -> BuildOptions:
    """Return sensible options over a checkpoint of its own, which a test may damage."""
    source = Path(shutil.copytree(checkpoint("llama", "even").folder, tmp_path / "source"))
    return BuildOptions(source, tmp_path / "made" / "out", measure=False)


def _edit_config(**changes: object) -> Damage:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


DAMAGES: dict[str, tuple[Damage, type[AutoglmError], str]] = {
    "no folder": (shutil.rmtree, ModelMissingError, "is not a folder"),
    "no config.json": (lambda f: (f / "config.json").unlink(), ModelMissingError, r"config\.json is not there"),
    "config.json torn": (
        lambda f: (f / "config.json").write_text('{"architectures": ['),
        ModelCorruptError,
        "is not JSON",
    ),
    "config.json not UTF-8": (
        lambda f: (f / "config.json").write_bytes(b"\xff\xfe"),
        ModelCorruptError,
        "not JSON",
    ),
    "config.json a list": (lambda f: (f / "config.json").write_text("[]"), ModelCorruptError, "holds list"),
    "no architecture": (_edit_config(architectures=[]), ModelUnsupportedError, "names no architecture"),
    "unknown architecture": (
        _edit_config(architectures=["ParrotForCausalLM"]),
        ModelUnsupportedError,
        "cannot be exported",
    ),
    "unknown model type": (_edit_config(model_type="parrot"), ModelUnsupportedError, "cannot be exported"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ModelMissingError, "has no weights"),
    "weights torn": (
        lambda f: (f / "model.safetensors").write_bytes(b"\0" * 100),
        ModelCorruptError,
        "cannot be read",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.model").unlink(), TokenizerError, "has no tokenizer"),
    "tokenizer torn": (
        lambda f: (f / "tokenizer.model").write_bytes(b"nothing"),
        TokenizerError,
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_source_is_named(options: BuildOptions, name: str) -> None:
    """Each damage gets its own error, and no output folder or leftover appears."""
    damage, error, message = DAMAGES[name]
    damage(options.source)
    with pytest.raises(error, match=message):
        build_model(options, _ignore)
    assert not options.output.exists()
    assert not options.output.parent.exists() or not list(options.output.parent.iterdir())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weights": WeightOptions(group_size=100)}, "group_size"),
        ({"weights": WeightOptions(group_size=0)}, "group_size"),
        ({"weights": WeightOptions(group_size=8)}, "group_size"),
        ({"weights": WeightOptions(scheme=Scheme.GROUPS, keep_in_groups=("lm_head",))}, "keep_in_groups"),
        ({"context_length": 0}, "context_length"),
        ({"threads": -1}, "threads"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: BuildOptions, change: dict[str, Any], field: str) -> None:
    """Options are checked before any work is done."""
    with pytest.raises(InvalidArgumentError, match=f"^{field}: "):
        build_model(replace(options, **change), _ignore)


def test_an_output_that_exists_is_never_written_to(options: BuildOptions) -> None:
    """Even an empty folder: the user may have meant another one."""
    options.output.mkdir(parents=True)
    with pytest.raises(InvalidArgumentError, match="exists"):
        build_model(options, _ignore)
    assert not list(options.output.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"\xc4\xe3\xba\xc3", "not UTF-8")],
)
def test_a_useless_calibration_file_is_refused(options: BuildOptions, content: bytes, message: str) -> None:
    """Empty files and other encodings (here GBK) are no calibration."""
    path = options.source / "calibration.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=message):
        build_model(replace(options, kv=KvOptions(calibration=path)), _ignore)


def test_a_missing_calibration_file_is_named(options: BuildOptions) -> None:
    """A typo in the path is said as such."""
    path = options.source / "calibraton.txt"
    with pytest.raises(ModelMissingError, match=r"calibraton\.txt is not there"):
        build_model(replace(options, kv=KvOptions(calibration=path)), _ignore)


def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    """Ids beyond the vocabulary would read past the embedding table."""
    source = make(tmp_path / "source", "llama", EVEN | {"vocab_size": 512})
    make_checkpoint("llama", EVEN | {"vocab_size": 100}, source.folder)
    with pytest.raises(TokenizerError, match="the model's vocabulary has 100"):
        build_model(BuildOptions(source.folder, tmp_path / "out", measure=False), _ignore)


def test_a_head_size_that_the_operator_cannot_do_is_refused(tmp_path: Path) -> None:
    """GroupQueryAttention takes multiples of 16; better said at building than at loading."""
    source = make(tmp_path / "source", "llama", EVEN | {"head_dim": 24})
    with pytest.raises(ModelUnsupportedError, match=r"24 dimensions.*multiple of 16"):
        build_model(BuildOptions(source.folder, tmp_path / "out", measure=False), _ignore)


def test_without_the_extra_the_remedy_is_named(options: BuildOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own installation has no torch; building says how to get it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(NotSupportedError, match=r"needs torch.*pip install '\.\[build\]'"):
        build_model(options, _ignore)


def _ignore(step: str, part: float) -> None:
    pass
