"""What the box refuses a build: a `HostError` with numbers and a remedy, and nothing left behind."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from autoglmctl.build import build as build_module
from autoglmctl.build import cost, embedding, export, graph, measure, recording, reference, text, tokenizer_files
from autoglmctl.build.build import build_model
from autoglmctl.build.host_limits import host_limits, is_refusal
from autoglmctl.build.options import BuildOptions
from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelMissingError, ModelUnsupportedError, TokenizerError
from tests.build.conftest import MakeCheckpoint

FULL = OSError(errno.ENOSPC, "No space left on device")
DENIED = PermissionError(errno.EACCES, "Permission denied", "/models/out")
TORCH_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

DISK = r"is full: \d+ of \d+ MiB are free; the build had \d+ MiB there.*Free some space"
MEMORY = r"Not enough memory to build.*\d+ of \d+ MiB are available.*add swap"


class Refuser:
    """Takes the place of a function and raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_arguments: object, **_named: object) -> NoReturn:
        """Raise."""
        raise self.error


@pytest.fixture
def options(checkpoint: MakeCheckpoint, tmp_path: Path) -> BuildOptions:
    """Return sensible options whose output folder does not exist."""
    (tmp_path / "calibration.txt").write_text("打开客厅的灯。Turn off the lights. " * 20, encoding="utf-8")
    options = BuildOptions(checkpoint("llama", "even").folder, tmp_path / "made" / "out", threads=1)
    return replace(options, kv=replace(options.kv, calibration=tmp_path / "calibration.txt"))


PLACES = {
    "copying the tokenizer": (tokenizer_files.shutil, "copyfile"),
    "tokenizing": (text, "load_tokenizer"),
    "exporting": (export, "_export"),
    "checking": (reference, "_transformers_logits"),
    "quantizing": (embedding.groups, "quantize"),
    "saving": (graph, "save"),
    "recording FP32": (recording.Recording, "record"),
    "timing what was built": (measure, "measure_cost"),
    "making it lasting": (build_module, "sync_tree"),
}


@pytest.mark.parametrize(
    ("place", "error"),
    [*((place, FULL) for place in PLACES), ("exporting", MemoryError()), ("checking", TORCH_MEMORY)],
)
def test_a_full_disk_or_memory_is_said_wherever_it_ends(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    """At no step is it taken for a broken checkpoint or tokenizer; and the staging folder goes."""
    module, name = PLACES[place]
    monkeypatch.setattr(module, name, Refuser(error))
    with pytest.raises(HostError, match=DISK if error is FULL else MEMORY):
        build_model(options, _ignore)
    assert not list(options.output.parent.iterdir())


class Zeros:
    """A runner whose logits are all zero."""

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Return float32 `[tokens, 512]`."""
        return np.zeros((ids.size, 512), dtype=np.float32)


def test_a_disk_that_fills_up_while_logits_are_written_is_a_full_disk(tmp_path: Path) -> None:
    """`/dev/full` is one for real: the error must still say what it is when it comes from many small writes."""
    record = recording.Recording(tmp_path / "logits")
    (tmp_path / "logits" / "1.f32").symlink_to("/dev/full")
    with pytest.raises(HostError, match=DISK), host_limits(tmp_path, tmp_path):
        record.record(Zeros(), [np.arange(9), np.arange(5)], lambda _part: None)  # type: ignore[arg-type]


def test_recorded_logits_come_back_as_they_were(tmp_path: Path) -> None:
    """Windows keep their order and their lengths."""
    record = recording.Recording(tmp_path / "logits")
    record.record(Zeros(), [np.arange(9), np.arange(5)], lambda _part: None)  # type: ignore[arg-type]
    assert [logits.shape for logits in record] == [(9, 512), (5, 512)]
    assert not any(logits.any() for logits in record)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DENIED, r"/models/out may not be read or written.*Change its permissions, or choose another folder"),
        (OSError(errno.EROFS, "Read-only file system"), "may not be read or written"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (OSError(errno.EMFILE, "Too many open files"), "refused what the build needs.*Too many open files"),
        (TORCH_MEMORY, "Not enough memory"),
        (MemoryError("Unable to allocate 9.00 GiB for an array"), "Unable to allocate 9"),
        (RuntimeError("onnxruntime: std::bad_alloc"), "Not enough memory"),
    ],
)
def test_each_refusal_has_its_remedy(tmp_path: Path, error: Exception, message: str) -> None:
    """Libraries say it in their own words and types."""
    with pytest.raises(HostError, match=message), host_limits(tmp_path):
        raise error
    assert is_refusal(error)


@pytest.mark.parametrize("error", [ValueError("a bug"), TokenizerError("torn"), KeyError("missing")])
def test_what_is_not_the_boxs_doing_passes(tmp_path: Path, error: Exception) -> None:
    """A bug stays a bug, and an error of the tree stays itself."""
    with pytest.raises(type(error)), host_limits(tmp_path):
        raise error
    assert not is_refusal(error)


def test_a_file_that_is_not_there_is_no_refusal() -> None:
    """Where a checkpoint is read, that is the checkpoint's fault."""
    assert not is_refusal(FileNotFoundError(errno.ENOENT, "No such file"))


def test_a_folder_that_cannot_be_made_is_named(options: BuildOptions, tmp_path: Path) -> None:
    """OUT inside a file: no traceback, the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="file"):
        build_model(replace(options, output=tmp_path / "file" / "below" / "out"), _ignore)


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "message"),
    [
        (-9, "", HostError, r"it was killed.*\d+ of \d+ MiB are available"),
        (1, "Traceback ...\nMemoryError\n", HostError, "Too little memory"),
        (1, "x\nRuntimeException: std::bad_alloc\n", HostError, "bad_alloc"),
        (1, "x\nFail: no such operator\n", ModelUnsupportedError, "does not run: Fail: no such operator"),
        (-11, "", ModelUnsupportedError, "exit status -11"),
    ],
)
def test_why_a_model_could_not_be_timed_is_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    stderr: str,
    kind: type[Exception],
    message: str,
) -> None:
    """Too little memory is the box's fault, anything else the model's."""
    ended = cost.subprocess.CompletedProcess((), status, "", stderr)
    monkeypatch.setattr(cost.subprocess, "run", lambda *_arguments, **_named: ended)
    with pytest.raises(kind, match=message):
        cost.measure_cost(tmp_path, 1, 8)


def test_a_source_that_is_not_there_stays_what_it_is(options: BuildOptions, tmp_path: Path) -> None:
    """The guard around the build does not swallow the errors that it has already."""
    with pytest.raises(ModelMissingError):
        build_model(replace(options, source=tmp_path / "nothing"), _ignore)


def _ignore(step: str, part: float) -> None:
    pass
