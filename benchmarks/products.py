"""Measures the products of a transformer's layers: the figures behind what limits one stream (needs `[build]`).

    python -m benchmarks.products [--threads N] [--rounds N] [--amx]

Without --amx onnxruntime is kept from the processor's AMX unit, as the daemon keeps it by default. A stack of 40
weights of 1024 x 4096, more than most caches hold, is multiplied from end to end, in turns: groups of several sizes,
W8A8, float32. At one row the weights' bytes per second are what counts, scales included, beside the speed of reading as
many bytes of memory in the same round; at more rows the multiplications per second. W8A8 is its product and the
quantization alone: the operators that find each row's maximum belong to the graph and are not here. No two weights are
alike: of equal ones onnxruntime keeps a single copy, and the caches hold it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from autoglmd.host.amx import amx_is_lent, amx_withheld
from benchmarks.process import run_module

with amx_withheld(unless="--amx" in sys.argv):
    # It asks for AMX at its import, and never again.
    import onnxruntime as ort

CONTRIB = "com.microsoft"
WIDTH, INNER, LAYERS = 1024, 4096, 20
PRODUCTS = 2 * LAYERS * WIDTH * INNER
ROWS = (1, 8, 16, 256)
SECONDS = 0.4
_Weights = dict[str, np.ndarray]
_Product = Callable[[str, str, int, int], tuple[list[NodeProto], _Weights]]


@dataclass(frozen=True)
class _Stack:
    """A loaded stack, and the bytes of weights and scales that a run reads."""

    session: ort.InferenceSession
    bytes: int


def main() -> None:
    """Measure in turns and print medians, with the lowest and highest round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--amx", action="store_true", help="let onnxruntime use AMX, where there is one")
    options = parser.parse_args()
    stacks = {name: _stack(product, options.threads) for name, product in _products().items()}
    rounds = [_round(stacks, options.threads) for _ in range(options.rounds)]
    amx = "with" if amx_is_lent() else "without"
    print(f"onnxruntime {ort.__version__} {amx} AMX, {options.threads} threads, {options.rounds} rounds")
    print("kernel | " + " | ".join(_heading(rows) for rows in ROWS))
    for name in rounds[0]:
        print(f"{name} | " + " | ".join(_cell([each[name][rows] for each in rounds]) for rows in rounds[0][name]))


def _round(stacks: dict[str, _Stack], threads: int) -> dict[str, dict[int, float]]:
    # In a process of its own: onnxruntime's threads look for work for a while after a run, and would be in its way.
    read = run_module(sys.executable, "benchmarks.bandwidth", [str(PRODUCTS), str(threads)], threads)
    found = {"reading memory": {1: max(read["gigabytes_per_second"].values())}}
    for name, stack in stacks.items():
        # Billions per second: of bytes at one row; at more, of products, one per weight and row.
        done = {rows: stack.bytes if rows == 1 else PRODUCTS * rows for rows in ROWS}
        found[name] = {rows: done[rows] / _seconds(stack.session, rows) / 1e9 for rows in ROWS}
    return found


def _seconds(session: ort.InferenceSession, rows: int) -> float:
    feed = {"x": np.random.default_rng(rows).standard_normal((rows, WIDTH)).astype(np.float32)}
    session.run(None, feed)
    spent: list[float] = []
    while len(spent) < 3 or sum(spent) < SECONDS:
        started = time.perf_counter()
        session.run(None, feed)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def _heading(rows: int) -> str:
    return "1 row, GB/s" if rows == 1 else f"{rows} rows, billion products/s"


def _cell(values: list[float]) -> str:
    digits = 1 if max(values) < 100 else 0
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _products() -> dict[str, _Product]:
    groups = {f"MatMulNBits, groups of {size}": _groups_of(size) for size in (32, 64, 128, 256)}
    return groups | {"MatMulIntegerToFloat (W8A8)": _per_token, "MatMul, float32": _float}


def _groups_of(size: int) -> _Product:
    def product(source: str, name: str, inputs: int, outputs: int) -> tuple[list[NodeProto], _Weights]:
        random = _random(name)
        weights = {
            f"{name}.w": random.integers(0, 256, (outputs, inputs // size, size), dtype=np.uint8),
            f"{name}.s": random.random((outputs, inputs // size), dtype=np.float32) * 1e-3,
        }
        sizes = {"bits": 8, "block_size": size, "K": inputs, "N": outputs, "accuracy_level": 4}
        return [helper.make_node("MatMulNBits", [source, *weights], [name], domain=CONTRIB, **sizes)], weights

    return product


def _per_token(source: str, name: str, inputs: int, outputs: int) -> tuple[list[NodeProto], _Weights]:
    random = _random(name)
    weights = {
        f"{name}.w": random.integers(-127, 128, (inputs, outputs), dtype=np.int8),
        f"{name}.s": random.random(outputs, dtype=np.float32) * 1e-3,
        f"{name}.step": np.asarray(np.float32(1 / 127)),
        f"{name}.zero": np.asarray(np.uint8(128)),
    }
    integers, scales, step, zero = weights
    factors = [f"{name}.q", integers, step, scales, zero]
    nodes = [
        helper.make_node("QuantizeLinear", [source, step, zero], [f"{name}.q"]),
        helper.make_node("MatMulIntegerToFloat", factors, [name], domain=CONTRIB),
    ]
    return nodes, weights


def _float(source: str, name: str, inputs: int, outputs: int) -> tuple[list[NodeProto], _Weights]:
    weights = {f"{name}.w": _random(name).standard_normal((inputs, outputs)).astype(np.float32) / 64}
    return [helper.make_node("MatMul", [source, *weights], [name])], weights


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _stack(product: _Product, threads: int) -> _Stack:
    nodes: list[NodeProto] = []
    weights: _Weights = {}
    source = "x"
    for name, inputs, outputs in _layers():
        made, held = product(source, name, inputs, outputs)
        nodes, weights, source = nodes + made, weights | held, name
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["rows", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(CONTRIB, 1)]
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return _Stack(session, sum(array.nbytes for array in weights.values()))


def _layers() -> Iterator[tuple[str, int, int]]:
    for number in range(LAYERS):
        yield f"{number}.up", WIDTH, INNER
        yield f"{number}.down", INNER, WIDTH


if __name__ == "__main__":
    main()
