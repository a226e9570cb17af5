"""Measures onnxruntime's kernels one by one: the figures behind decisions about graphs (needs the extra `[build]`).

    python benchmarks/kernels.py rows                    does a row's result depend on how many rows there are?
    python benchmarks/kernels.py attention               what does attention cost, with FP32 and with INT8 keys?
    python benchmarks/kernels.py memory FOLDER [...]     load time and memory, as shipped and prepared

Times are the CPU time of one thread, the least of several runs, so that a busy machine disturbs them least.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from autoglmd.model.graph_io import SHORT_PREFILL_TOKENS

CONTRIB = "com.microsoft"
ROWS = 40
ROW_COUNTS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 31)
REPEATS = 6
_LOAD = """
import json, sys, time
import numpy as np
import onnxruntime as ort
def memory(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))
settings = ort.SessionOptions()
settings.log_severity_level = 3
if sys.argv[2] == "prepared":
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
before = memory("VmRSS")
started = time.perf_counter()
session = ort.InferenceSession(sys.argv[1] + "/model.onnx", settings, providers=["CPUExecutionProvider"])
seconds = time.perf_counter() - started
loaded = memory("VmRSS") - before
feed = {"input_ids": np.ones((1, 8), np.int64), "attention_mask": np.ones((1, 8), np.int64)}
width = int(sys.argv[3])
for entry in session.get_inputs():
    if entry.name.startswith("past_key_values."):
        kind = np.int8 if entry.type == "tensor(int8)" else np.float32
        feed[entry.name] = np.zeros((1, entry.shape[1], 0, width), kind)
session.run(["logits"], feed)
names = ("RssAnon", "RssFile")
print(json.dumps({"load_seconds": seconds, "loaded_mb": loaded, **{n: memory(n) for n in names}}))
"""


@dataclass(frozen=True)
class Attention:
    """One measured case: rows, new tokens per row, tokens already in the cache."""

    rows: int
    new: int
    past: int


CASES = (
    Attention(1, 128, 0),
    Attention(1, 512, 0),
    Attention(1, 128, 384),
    Attention(1, 128, 1920),
    Attention(1, 2, 2000),
    Attention(1, 16, 2000),
    Attention(1, 32, 2000),
    Attention(1, 64, 1920),
    Attention(1, 1, 2000),
    Attention(8, 1, 512),
    Attention(16, 1, 2000),
)
HEADS, KV_HEADS, HEAD_DIM, CAPACITY = 16, 4, 64, 2560
KINDS = ("FP32", "INT8 per tensor", "INT8 per channel", "as built", "as built, all short")
"""What attention may be over; what `model build` makes of INT8 per channel prefills in float, in two ways."""
KERNELS = {"blockwise": "0", "scores": "1"}
"""What the environment says to get each of the two CPU kernels; it is read where a session is made."""


def rows() -> None:
    """Print, per operator, for which row counts some row differs from the same row among 40."""
    print("operator | row counts whose results differ, bit for bit, from those of 40 rows")
    weight = np.random.default_rng(0).standard_normal((512, 256)).astype(np.float32)
    for block in (16, 32, 64, 128, 256):
        print(f"MatMulNBits, groups of {block} | {_differing(_matmul_nbits(weight, block)) or 'none'}")
    print(f"MatMulIntegerToFloat | {_differing(_integer_matmul(weight)) or 'none'}")
    print(f"MatMul, float32 | {_differing(_float_matmul(weight)) or 'none'}")


def attention() -> None:
    """Print GroupQueryAttention's milliseconds per layer for each case, KV kind and kernel."""
    columns = [(kind, kernel) for kind in KINDS for kernel in KERNELS]
    print("rows x new after past | " + " | ".join(f"{kind}, {kernel}" for kind, kernel in columns))
    for case in CASES:
        times = [_attention_milliseconds(kind, kernel, case) for kind, kernel in columns]
        print(f"{case.rows} x {case.new} after {case.past} | " + " | ".join(f"{t:.2f}" for t in times))


def memory(folders: list[Path]) -> None:
    """Print load time and memory of each folder's model, as shipped and prepared."""
    from autoglmd.model.bundle import read_bundle
    from autoglmd.model.device import CPU
    from autoglmd.model.prepare import prepare

    print("model | load, s | resident after load, MB | private after a run, MB | mapped after a run, MB")
    for folder in folders:
        bundle = read_bundle(folder)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            prepared = prepare(bundle, Path(work) / "prepared", (CPU,))
            for kind, place in (("shipped", folder), ("prepared", prepared.folder)):
                command = [sys.executable, "-c", _LOAD, str(place), kind, str(bundle.head_size)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                print(f"{folder.name}, {kind} | " + " | ".join(f"{value:.2f}" for value in found.values()))


def _differing(session: ort.InferenceSession) -> list[int]:
    data = np.random.default_rng(1).standard_normal((1, ROWS, 512)).astype(np.float32)
    whole = session.run(None, {"x": data})[0]
    differing = []
    for count in ROW_COUNTS:
        parts = [session.run(None, {"x": data[:, i : i + count]})[0] for i in range(0, ROWS, count)]
        if not np.array_equal(np.concatenate(parts, axis=1), whole):
            differing.append(count)
    return differing


def _matmul_nbits(weight: np.ndarray, block: int) -> ort.InferenceSession:
    from autoglmctl.build.groups import quantize

    integers, scales = quantize(weight, block, 127)
    sizes = {"bits": 8, "block_size": block, "K": 512, "N": 256, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain=CONTRIB, **sizes)
    return _session(_linear([node], {"w": integers, "s": scales}))


def _integer_matmul(weight: np.ndarray) -> ort.InferenceSession:
    """The product of the per-token scheme; the rows' own scales are elementwise and need no test."""
    from autoglmctl.build.per_token import quantize

    integers, scales = quantize(weight, 127)
    step, zero = np.float32(1 / 32), np.uint8(128)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("MatMulIntegerToFloat", ["q", "w", "step", "s", "zero"], ["y"], domain=CONTRIB),
    ]
    weights = {"w": integers, "s": scales, "step": np.asarray(step), "zero": np.asarray(zero)}
    return _session(_linear(nodes, weights))


def _float_matmul(weight: np.ndarray) -> ort.InferenceSession:
    return _session(_linear([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}))


def _linear(nodes: list[NodeProto], weights: dict[str, np.ndarray]) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "tokens", 512])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "tokens", 256])
    return _model(nodes, [x], [y], weights)


def _attention_milliseconds(kind: str, kernel: str, case: Attention) -> float:
    os.environ["ORT_GQA_DISABLE_FLASH_ATTENTION"] = KERNELS[kernel]
    session = _session(_as_built() if kind.startswith("as built") else _attention_model(kind))
    kv_type = np.float32 if kind == "FP32" else np.int8
    queries = np.random.default_rng(2).standard_normal((case.rows, case.new, (HEADS + 2 * KV_HEADS) * HEAD_DIM))
    binding = session.io_binding()
    binding.bind_cpu_input("qkv", queries.astype(np.float32))
    binding.bind_cpu_input("last", np.full(case.rows, case.past + case.new - 1, np.int32))
    binding.bind_cpu_input("total", np.array(case.past + case.new, np.int32))
    caches = [np.zeros((case.rows, KV_HEADS, CAPACITY, HEAD_DIM), kv_type) for _ in range(2)]
    for cache, side in zip(caches, ("key", "value"), strict=True):
        place = ("cpu", 0, kv_type, cache.shape, cache.ctypes.data)
        binding.bind_input(f"past.{side}", *place)
        binding.bind_output(f"present.{side}", *place)
    short = np.array([case.new if kind.endswith("short") else 0])
    if kind.startswith("as built"):
        binding.bind_input(SHORT_PREFILL_TOKENS, "cpu", 0, np.int64, [1], short.ctypes.data)
    binding.bind_output("y")
    return 1e3 * min(_cpu_seconds(session, binding) for _ in range(REPEATS))


def _as_built() -> ModelProto:
    import onnx_ir as ir

    from autoglmctl.build.prefill_attention import prefill_in_float

    model = ir.from_proto(_attention_model("INT8 per channel"))
    prefill_in_float(model)
    return ir.to_proto(model)


def _attention_model(kind: str) -> ModelProto:
    angles = np.outer(np.arange(CAPACITY), np.arange(HEAD_DIM // 2) / HEAD_DIM)
    weights = {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}
    inputs = ["qkv", "", "", "past.key", "past.value", "last", "total", "cos", "sin"]
    attributes: dict[str, int | str] = {"num_heads": HEADS, "kv_num_heads": KV_HEADS, "do_rotary": 1}
    kv_type = TensorProto.FLOAT if kind == "FP32" else TensorProto.INT8
    if kind != "FP32":
        mode = kind.removeprefix("INT8 ").upper().replace(" ", "_")
        count = KV_HEADS * HEAD_DIM if mode == "PER_CHANNEL" else 1
        weights |= {"k_scale": np.full(count, 0.03, np.float32), "v_scale": np.full(count, 0.03, np.float32)}
        inputs += ["", "", "", "k_scale", "v_scale"]
        attributes |= {"k_quant_type": mode, "v_quant_type": mode, "kv_cache_bit_width": 8}
    node = helper.make_node(
        "GroupQueryAttention", inputs, ["y", "present.key", "present.value"], domain=CONTRIB, **attributes
    )
    info, cache = helper.make_tensor_value_info, ["rows", KV_HEADS, "capacity", HEAD_DIM]
    width = (HEADS + 2 * KV_HEADS) * HEAD_DIM
    graph_inputs = [info("qkv", TensorProto.FLOAT, ["rows", "new", width])]
    graph_inputs += [info(f"past.{side}", kv_type, cache) for side in ("key", "value")]
    graph_inputs += [info("last", TensorProto.INT32, ["rows"]), info("total", TensorProto.INT32, [])]
    outputs = [info("y", TensorProto.FLOAT, ["rows", "new", HEADS * HEAD_DIM])]
    outputs += [info(f"present.{side}", kv_type, cache) for side in ("key", "value")]
    return _model([node], graph_inputs, outputs, weights)


def _model(nodes: list[NodeProto], inputs: list[Any], outputs: list[Any], weights: dict[str, np.ndarray]) -> ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "kernel", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _session(model: ModelProto) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    # It warns of inputs that need not be given.
    settings.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _cpu_seconds(session: ort.InferenceSession, binding: ort.IOBinding) -> float:
    started = time.process_time()
    session.run_with_iobinding(binding)
    return time.process_time() - started


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rows", "attention", "memory"))
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "memory":
        memory(arguments.folders)
    else:
        {"rows": rows, "attention": attention}[arguments.what]()


if __name__ == "__main__":
    main()
