"""Runs a graph over whole windows of tokens, without the daemon's engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8}


@dataclass(frozen=True)
class KvShape:
    """What a layer keeps per token."""

    layers: int
    heads: int
    head_dim: int


class GraphRunner:
    """A session over a model folder. One caller at a time."""

    def __init__(self, folder: Path, threads: int, *, pack: bool = True) -> None:
        """Load `folder`/model.onnx on the CPU with `threads` threads (0: one per physical core).

        Without `pack` the weights stay where the file is mapped: about a sixth slower over windows of 512 tokens,
        and a float graph may be larger than the memory.
        """
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.add_session_config_entry("session.disable_prepacking", "0" if pack else "1")
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", settings, ["CPUExecutionProvider"])
        model = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = model["decoder"]
        self.vocabulary = int(model["vocab_size"])
        self.context_length = int(model["context_length"])
        self.kv_shape = KvShape(decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"])
        self.takes_positions = any(node.name == "position_ids" for node in self.session.get_inputs())
        self.kv_types = {
            node.name.removeprefix("past_key_values."): _TYPES[node.type]
            for node in self.session.get_inputs()
            if node.name.startswith("past_key_values.")
        }

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Run one window, int64 `[tokens]`; return float32 `[tokens, vocabulary]` (`[1, ...]` if pruned)."""
        output: np.ndarray = self.batch_logits(ids[None])[0]
        return output

    def batch_logits(self, ids: np.ndarray) -> np.ndarray:
        """Run fresh rows, int64 `[rows, tokens]`; return float32 `[rows, tokens or 1, vocabulary]`."""
        output: np.ndarray = self.session.run(["logits"], self._feed(ids))[0]
        return output

    def keys_and_values(self, ids: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Run one window; return each layer's keys and values, `[tokens, heads, head_dim]`."""
        layers = range(self.kv_shape.layers)
        names = [f"present.{n}.key" for n in layers] + [f"present.{n}.value" for n in layers]
        outputs = [array[0].swapaxes(0, 1) for array in self.session.run(names, self._feed(ids[None]))]
        return outputs[: len(layers)], outputs[len(layers) :]

    def stream(self, capacity: int) -> Stream:
        """Return a single row with KV memory for `capacity` tokens."""
        shape = (1, self.kv_shape.heads, capacity, self.kv_shape.head_dim)
        return Stream(self, {name: np.zeros(shape, dtype=kind) for name, kind in self.kv_types.items()})

    def _feed(self, ids: np.ndarray) -> dict[str, Any]:
        feed: dict[str, Any] = {"input_ids": ids, "attention_mask": np.ones(ids.shape, dtype=np.int64)}
        if self.takes_positions:
            feed["position_ids"] = np.broadcast_to(np.arange(ids.shape[1], dtype=np.int64), ids.shape)
        # As long as the window: what the graph gives back may be no longer than what it was given.
        shape = (ids.shape[0], self.kv_shape.heads, ids.shape[1], self.kv_shape.head_dim)
        for name, kind in self.kv_types.items():
            feed[f"past_key_values.{name}"] = np.zeros(shape, dtype=kind)
        return feed


class Stream:
    """Rows of one length whose keys and values stay in place from step to step."""

    def __init__(self, runner: GraphRunner, kv: dict[str, np.ndarray], length: int = 0) -> None:
        """Take the KV memory, `[rows, kv_heads, capacity, head_dim]` by name; `length` tokens of it are filled."""
        self._runner = runner
        self._kv = kv
        self._length = length

    def repeated(self, rows: int) -> Stream:
        """Return `rows` copies of a single row, which go on together."""
        copies = {name: np.repeat(array, rows, axis=0) for name, array in self._kv.items()}
        return Stream(self._runner, copies, self._length)

    def prefill(self, ids: np.ndarray) -> np.ndarray:
        """Start a single row again with `ids`, int64 `[tokens]`; return the last position's logits, `[vocabulary]`."""
        self._length = 0
        return self.append(ids)

    def append(self, ids: np.ndarray) -> np.ndarray:
        """Go on with `ids`, int64 `[tokens]`, in a single row; return the last position's logits, `[vocabulary]`."""
        last: np.ndarray = self._run(ids[None])[0]
        return last

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Go on with one token per row, int64 `[rows]`; return the logits, `[rows, vocabulary]`."""
        return self._run(ids[:, None])

    def _run(self, ids: np.ndarray) -> np.ndarray:
        self._length += ids.shape[1]
        binding = self._runner.session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", np.ones((ids.shape[0], self._length), dtype=np.int64))
        if self._runner.takes_positions:
            positions = np.arange(self._length - ids.shape[1], self._length, dtype=np.int64)
            binding.bind_cpu_input("position_ids", np.tile(positions, (ids.shape[0], 1)))
        binding.bind_output("logits")
        for name, array in self._kv.items():
            place = ("cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            binding.bind_input(f"past_key_values.{name}", *place)
            binding.bind_output(f"present.{name}", *place)
        self._runner.session.run_with_iobinding(binding)
        last: np.ndarray = binding.get_outputs()[0].numpy()[:, -1].copy()
        return last
