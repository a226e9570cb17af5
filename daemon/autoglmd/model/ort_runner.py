"""A ModelRunner on onnxruntime: KV rows bound in place, so that no step copies a cache.

`GroupQueryAttention` writes a new token's key and value behind the past ones where past and present share memory.
A row, or a run of neighbouring rows, is then a pointer and a shape, and a ragged batch needs only an attention mask
with ones up to each row's length.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort

from autoglmd.errors.model import ModelCorruptError
from autoglmd.messages.sessions import KvBlock, new_stamp
from autoglmd.model.attention_kernel import attention_kernel, scratch_bytes
from autoglmd.model.bundle import Bundle
from autoglmd.model.device import DeviceChoice, choose_device
from autoglmd.model.graph_io import (
    LOGITS_INDICES,
    check_inputs,
    chooses_logits,
    kv_tensors,
    logits_dtype,
    precision_of,
)
from autoglmd.model.kv_rows import DeviceKvRows, HostKvRows
from autoglmd.model.onnx_file import read_graph, shortage
from autoglmd.model.runner import Ids, Logits, ModelSpec
from autoglmd.model.self_check import first_line, try_once
from autoglmd.model.short_prefills import ShortPrefills

_MAX_BINDINGS = 128


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How a bundle is loaded.

    Attributes:
        graph: the graph file to load: the bundle's own, or its prepared copy.
        threads: compute threads; 0 lets onnxruntime take one per core.
        run_tokens: most prompt tokens of one run, over all its rows; it bounds what attention needs for its scores.
    """

    graph: Path
    prepared: bool
    device: DeviceChoice
    fallback: str
    rows: int
    context_tokens: int
    threads: int
    run_tokens: int = 256


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run is given, for the rows from `first` on: all int64, ids and positions `[rows, columns]`."""

    first: int
    ids: Ids
    mask: Ids
    positions: Ids


class OrtRunner:
    """Runs one graph over one set of KV rows."""

    def __init__(self, bundle: Bundle, options: RunnerOptions) -> None:
        """Load the graph, check that it is one that we can run, and run it once.

        Raises:
            ModelCorruptError: onnxruntime cannot load it.
            ModelUnsupportedError: its inputs are not ours, or it cannot continue a row in place.
        """
        self._names = bundle.names
        context = min(options.context_tokens, bundle.context_tokens)
        with attention_kernel(scratch_bytes(bundle.query_heads, max(options.run_tokens, options.rows), context)):
            self._session = _load_session(options)
        tensors = kv_tensors(self._session, bundle)
        providers = tuple(self._session.get_providers())
        # A provider that is offered can still fail to load its libraries; onnxruntime then goes on without it.
        device, _ = choose_device(options.device.requested, providers)
        self._kv: HostKvRows | DeviceKvRows = (
            HostKvRows(tensors, options.rows, context)
            if device.memory == "cpu"
            else DeviceKvRows(tensors, options.rows, context, providers, device.memory)
        )
        self._tensors = tensors
        self._context = context
        self._has_positions = check_inputs(self._session, bundle.names, tensors)
        self._logits_dtype = logits_dtype(self._session, bundle)
        self._logits = np.empty((options.rows, 1, bundle.vocab_size), self._logits_dtype)
        self._chooses = chooses_logits(self._session)
        self._wanted = np.zeros(options.rows, np.int64)
        threads = options.threads or os.cpu_count() or 1
        self._short = ShortPrefills(self._session, device.memory, splits_heads=threads > bundle.kv_heads)
        self._bindings: OrderedDict[tuple[int, int], ort.IOBinding] = OrderedDict()
        self.spec = ModelSpec(
            vocab_size=bundle.vocab_size,
            context_tokens=context,
            rows=options.rows,
            layers=bundle.layers,
            kv_bytes_per_token=sum(tensor.bytes_per_token for tensor in tensors),
            precision=precision_of(bundle),
            kv_precision=np.dtype(tensors[0].dtype).name,
            provider=providers[0],
            fallback=options.fallback or _lost(options.device, device),
            prepared=options.prepared,
        )
        try_once(self, bundle, chooses=self._chooses)
        self._short.try_out(self)
        self.rest()

    @property
    def kv_layout(self) -> str:
        """How a KvBlock's data is laid out: tensors of equal kind behind one another, as heads x width."""
        kinds = (f"{np.dtype(each.dtype).name} {each.heads}x{each.width}" for each in self._tensors)
        return ", ".join(f"{len(list(same))} of {kind}" for kind, same in groupby(kinds))

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """See ModelRunner.prefill."""
        columns = self._even(ids[None, :], past)
        end = past + columns.shape[1]
        run = _Run(row, columns, np.ones((1, end), np.int64), np.arange(past, end)[None, :])
        logits = self._prefill(run, past, np.array([len(ids)]), final=final)
        return logits if final else logits[:0]

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """See ModelRunner.prefill_fresh."""
        columns = self._even(ids, 0)
        positions = np.arange(columns.shape[1], dtype=np.int64)
        mask = (positions < lengths[:, None]).astype(np.int64)
        return self._prefill(
            _Run(first_row, columns, mask, np.broadcast_to(positions, columns.shape)), 0, lengths, final=True
        )

    def decode(self, ids: Ids, lengths: Ids) -> Logits:
        """See ModelRunner.decode."""
        return self._decode(0, ids, lengths)

    def _prefill(self, run: _Run, past: int, lengths: Ids, *, final: bool) -> Logits:
        """Make the run; return the logits of each row's last token."""
        wanted = lengths - 1
        if self._chooses:
            self._run(run, wanted)
            return self._told(len(lengths))
        logits = self._run_and_pick(run, wanted)
        if logits is None and final:
            # What the graph tells is of the last column, with which few prompts of a run end. All of them can feed
            # their last token once more, so all do: an answer must not depend on who is computed with whom.
            rows = np.arange(len(wanted))
            return self._decode(run.first, run.ids[rows, wanted], past + wanted)
        return self._told(0) if logits is None else logits.astype(np.float32, copy=False)

    def _decode(self, first: int, ids: Ids, lengths: Ids) -> Logits:
        held = lengths + 1
        mask = (np.arange(int(held.max())) < held[:, None]).astype(np.int64)
        self._run(_Run(first, ids[:, None], mask, lengths[:, None]), np.zeros(len(ids), np.int64))
        return self._told(len(ids))

    def _told(self, rows: int) -> Logits:
        return self._logits[:rows, 0].astype(np.float32, copy=False)

    def move(self, source: int, target: int, length: int) -> None:
        """See ModelRunner.move."""
        self._kv.move(source, target, length)

    def read_kv(self, row: int, cuts: Sequence[int]) -> tuple[KvBlock, ...]:
        """See ModelRunner.read_kv."""
        held = self._kv.read(row, cuts)
        places = zip(pairwise(cuts), held, strict=True)
        stamp = new_stamp()
        return tuple(KvBlock(start, stop - start, stop - start, data, stamp) for (start, stop), data in places)

    def write_kv(self, row: int, blocks: Sequence[KvBlock]) -> None:
        """See ModelRunner.write_kv."""
        for block in blocks:
            held_bytes, given = block.held * self.spec.kv_bytes_per_token, memoryview(block.data).nbytes
            if given != held_bytes or not 0 <= block.start <= block.stop <= self._context or block.tokens > block.held:
                raise ValueError(f"{given} bytes for {block.held} tokens at {block.start}; expected {held_bytes}")
        self._kv.write(row, blocks)

    def _even(self, ids: Ids, past: int) -> Ids:
        """Fill up an odd number of columns, where the row has room behind; nobody reads there.

        Attention takes its queries in tiles of an even size, and a tile of one query through another kernel that
        differs in the last bit. Without such tiles KV does not depend on where chunks end (batch invariance).
        """
        odd = ids.shape[1] % 2 == 1 and past + ids.shape[1] < self._context
        return np.pad(ids, ((0, 0), (0, 1))) if odd else ids

    def rest(self) -> None:
        """See ModelRunner.rest."""
        self._kv.rest()

    def close(self) -> None:
        """See ModelRunner.close."""
        self._bindings.clear()
        del self._session, self._kv

    def _run(self, run: _Run, wanted: Ids) -> None:
        """Compute one position's logits per row into our buffer."""
        binding, rows = self._bound(run), len(run.ids)
        if self._chooses:
            self._wanted[:rows] = wanted
            # Anew for each run: what is bound for a device is copied there now. bind_cpu_input knows no input that
            # has a default.
            binding.bind_input(LOGITS_INDICES, "cpu", 0, np.int64, [rows], self._wanted.ctypes.data)
        pointer, shape = self._logits.ctypes.data, [rows, 1, self._logits.shape[2]]
        binding.bind_output(self._names.logits, "cpu", 0, self._logits_dtype, shape, pointer)
        self._session.run_with_iobinding(binding)

    def _run_and_pick(self, run: _Run, wanted: Ids) -> Logits | None:
        """Compute whatever the graph does; return a copy of the wanted logits, None if it does not tell of them."""
        binding = self._bound(run)
        binding.bind_output(self._names.logits, "cpu")
        self._session.run_with_iobinding(binding)
        # Bound last, behind the KV rows; its array is a view of memory that is the binding's.
        made: Logits = binding.get_outputs()[-1].numpy()
        picked = made[np.arange(len(wanted)), wanted] if made.shape[1] == run.ids.shape[1] else None
        # Let go of them: a graph that is not pruned made a row of the vocabulary for every prompt token.
        binding.bind_output(self._names.logits, "cpu")
        return picked

    def _bound(self, run: _Run) -> ort.IOBinding:
        binding = self._binding(run.first, len(run.ids))
        binding.bind_cpu_input(self._names.input_ids, np.ascontiguousarray(run.ids))
        binding.bind_cpu_input(self._names.attention_mask, run.mask)
        if self._has_positions:
            binding.bind_cpu_input(self._names.position_ids, np.ascontiguousarray(run.positions))
        return binding

    def _binding(self, first: int, rows: int) -> ort.IOBinding:
        """The binding of rows first..first+rows; kept, because making one costs two calls per layer and side."""
        key = (first, rows)
        if key not in self._bindings:
            self._bindings[key] = self._bind_rows(first, rows)
            if len(self._bindings) > _MAX_BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        return self._bindings[key]

    def _bind_rows(self, first: int, rows: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        for tensor, pointer in zip(self._tensors, self._kv.pointers(first), strict=True):
            shape = [rows, tensor.heads, self._context, tensor.width]
            binding.bind_input(tensor.past, self._kv.device, 0, tensor.dtype.type, shape, pointer)
            binding.bind_output(tensor.present, self._kv.device, 0, tensor.dtype.type, shape, pointer)
        self._short.bind(binding)
        return binding


def _load_session(options: RunnerOptions) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    # Between two steps its threads would wait busily, on cores that others need (docs/decisions/spinning.md).
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    # What fails comes as an exception. A line of onnxruntime's own would be neither JSON nor tell whose request it was.
    settings.log_severity_level = 4
    if options.prepared:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(str(options.graph), settings, providers=list(options.device.providers))
    except Exception as error:
        why = _short_weights(options.graph) or first_line(error)
        raise ModelCorruptError(
            f"{options.graph} cannot be loaded: {why} Copy the bundle again, or build it anew."
        ) from error


def _short_weights(graph: Path) -> str:
    """What is missing from a torn copy, which onnxruntime says in words of its own; empty if that is not it."""
    try:
        return shortage(read_graph(graph), graph.parent)
    except (ModelCorruptError, OSError):
        return ""


def _lost(wanted: DeviceChoice, got: DeviceChoice) -> str:
    if wanted.providers[0] == got.providers[0]:
        return ""
    return f"{wanted.providers[0]} is installed and does not start here; running on {got.providers[0]} instead."


def available_providers() -> tuple[str, ...]:
    """Execution providers that this onnxruntime offers."""
    return tuple(ort.get_available_providers())


def onnxruntime_version() -> str:
    """Version of the installed onnxruntime."""
    return str(ort.__version__)
