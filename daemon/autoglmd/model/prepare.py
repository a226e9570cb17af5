"""Prepared models: the graph as onnxruntime optimized it for this host, with the weights as its kernels want them.

onnxruntime maps such a file from the page cache instead of packing its own copy of every weight: less memory, a
faster start, the same results bit for bit. It belongs to one processor, one onnxruntime and one bundle; its key,
kept beside it, says which, and whoever loads it compares the key first.

    prepared.json     the key, the sizes of the other two, and what preparing took
    model.onnx        the optimized graph; load it with graph optimizations off
    model.onnx.data   weights as shipped (onnxruntime finds the packed ones by their digest) and as packed

Recovery: the folder appears whole or not at all (`host.files.replacing_directory`); a stale or torn one is made anew,
and one that does not load is removed by whoever finds out.
"""

import contextlib
import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime as ort

from autoglmd.errors.base import HostError
from autoglmd.errors.model import ModelCorruptError
from autoglmd.errors.request import NotSupportedError
from autoglmd.host.amx import amx_is_lent
from autoglmd.host.facts import HostFacts, read_facts
from autoglmd.host.files import locked_directory, replacing_directory
from autoglmd.model.bundle import Bundle, weights_bytes
from autoglmd.model.device import CPU
from autoglmd.model.reduced_range import copy_reduced, needs_reducing, saturates
from autoglmd.model.self_check import first_line

KEY_FILE = "prepared.json"
GRAPH_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
FORMAT = 2
"""Counted up when a prepared folder's content changes meaning."""
INLINE_BYTES = 1024
"""Initializers up to this size stay in model.onnx."""
NEEDED_TIMES = 3.2
"""Most that preparing takes, as a multiple of the bundle's weights: as shipped, as packed, a copy, and a little."""
_ENTRIES = {
    "session.save_external_prepacked_constant_initializers": "1",
    "session.optimized_model_external_initializers_file_name": DATA_FILE,
    "session.optimized_model_external_initializers_min_size_in_bytes": str(INLINE_BYTES),
}


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """Everything that a prepared model depends on; any difference means: make it again."""

    format: int
    bundle_version: str
    bundle_files: str
    """Digest of the bundle's file names, sizes and times of change: its version does not read all of large files."""
    reduced_range: bool
    """Whether W8A8 weights have 7 bits, because the processor's 8-bit products saturate."""
    onnxruntime: str
    machine: str
    cpu_features: str
    """Digest of the kernel's feature flags: they choose the kernels, and so the packing."""
    amx: bool
    """Whether this process was lent AMX, whose kernels want another packing."""
    session_options: str
    """Digest of what onnxruntime was told when it optimized."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A prepared folder that fits its bundle and this host."""

    folder: Path
    key: PreparedKey

    @property
    def graph(self) -> Path:
        """The graph to load, with graph optimizations off."""
        return self.folder / GRAPH_FILE


def prepare(bundle: Bundle, folder: Path, providers: tuple[str, ...]) -> PreparedModel:
    """Make `folder` the prepared form of `bundle` for this host's processor, replacing what was there.

    Takes about as long and as much memory as loading the bundle, and twice its weights' size on disk.

    Args:
        bundle: the model as shipped.
        folder: where to; its parents are made. What is there must be empty or another prepared model.
        providers: those that the model will run on. Weights are packed for the CPU alone.

    Raises:
        NotSupportedError: another provider than the CPU is among them.
        ModelCorruptError: onnxruntime cannot load the bundle.
        HostError: the disk is full or not writable, or the folder holds something else; it is as it was.
    """
    if providers != (CPU,):
        raise NotSupportedError(f"Models are prepared for the CPU; {', '.join(providers)} load them as shipped.")
    folder = folder.resolve()
    _refuse_overlap(bundle.folder.resolve(), folder)
    facts = read_facts()
    key = key_of(bundle, facts)
    started = time.monotonic()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(bundle, folder.parent)
        with replacing_directory(folder) as staging:
            _refuse_foreign(folder)
            with _sound_graph(bundle.graph, staging, facts) as graph:
                _save_optimized(graph, staging / GRAPH_FILE)
            _write_key(staging / KEY_FILE, key, time.monotonic() - started)
    except OSError as error:
        remedy = "Free some space" if error.errno == errno.ENOSPC else "Give the daemon's user the right to write there"
        raise HostError(f"{folder} cannot be written: {error}. {remedy}, or choose another folder.") from error
    return PreparedModel(folder, key)


def find_prepared(bundle: Bundle, folder: Path, providers: tuple[str, ...]) -> PreparedModel | None:
    """Return the prepared model in `folder` if it is whole and made for this bundle, process, host and onnxruntime."""
    if providers != (CPU,):
        return None
    key = key_of(bundle, read_facts())
    expected = {"key": asdict(key), "sizes": _sizes(folder)}
    content = _read_key(folder / KEY_FILE)
    matches = {name: content.get(name) for name in expected} == expected
    return PreparedModel(folder, key) if matches else None


def discard_prepared(folder: Path) -> None:
    """Remove a prepared model that turned out to be broken. What cannot be removed stays."""
    folder = folder.resolve()
    with contextlib.suppress(OSError), locked_directory(folder):
        # The key last: without it the folder would be nobody's, and not be replaced.
        for name in (GRAPH_FILE, DATA_FILE, KEY_FILE):
            (folder / name).unlink(missing_ok=True)


def key_of(bundle: Bundle, facts: HostFacts) -> PreparedKey:
    """Say what a prepared form of `bundle` depends on, on a host with these `facts`."""
    return PreparedKey(
        format=FORMAT,
        bundle_version=bundle.version,
        bundle_files=_digest(_stat_lines(bundle.folder)),
        reduced_range=saturates(facts),
        onnxruntime=ort.__version__,
        machine=facts.machine,
        cpu_features=facts.features_digest,
        amx=amx_is_lent(),
        session_options=_digest(f"{name}={value}" for name, value in _ENTRIES.items()),
    )


@contextlib.contextmanager
def _sound_graph(graph: Path, staging: Path, facts: HostFacts) -> Iterator[Path]:
    """Yield the graph that computes rightly on this processor: as shipped, or a copy with 7-bit weights."""
    if not (saturates(facts) and needs_reducing(graph)):
        yield graph
        return
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        yield copy_reduced(graph, Path(folder))


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def _save_optimized(graph: Path, target: Path) -> None:
    """Let onnxruntime load `graph` and write what it made of it; the session itself is dropped."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.optimized_model_filepath = str(target)
    for name, value in _ENTRIES.items():
        settings.add_session_config_entry(name, value)
    try:
        ort.InferenceSession(str(graph), settings, providers=[CPU])
    except Exception as error:
        raise ModelCorruptError(f"{graph} cannot be prepared; onnxruntime says: {first_line(error)}") from error


def _check_space(bundle: Bundle, folder: Path) -> None:
    needed, free = int(NEEDED_TIMES * weights_bytes(bundle.graph)), shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed >> 20} MiB are needed, {free >> 20} MiB are free", str(folder))


def _refuse_overlap(bundle: Path, folder: Path) -> None:
    if bundle == folder or bundle in folder.parents or folder in bundle.parents:
        raise HostError(f"{folder} is the bundle, lies in it or holds it. Name a folder outside of {bundle}.")


def _refuse_foreign(folder: Path) -> None:
    """What people keep is not ours to replace."""
    is_ours = (folder / KEY_FILE).is_file() or not folder.exists()
    if not is_ours and (not folder.is_dir() or any(folder.iterdir())):
        raise HostError(f"{folder} is there and holds no prepared model. Name a new or empty folder.")


def _stat_lines(folder: Path) -> Iterator[str]:
    for file in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        facts = file.stat()
        yield f"{file.name}/{facts.st_size}/{facts.st_mtime_ns}"


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files beside the key; 0 for what is not there."""
    files = [folder / name for name in (GRAPH_FILE, DATA_FILE)]
    return {file.name: file.stat().st_size if file.is_file() else 0 for file in files}


def _write_key(path: Path, key: PreparedKey, seconds: float) -> None:
    content = {"key": asdict(key), "sizes": _sizes(path.parent), "prepare_seconds": round(seconds, 3)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_key(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # unreadable is the same as absent: it is made again
    return content if isinstance(content, dict) else {}
