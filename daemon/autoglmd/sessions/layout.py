"""Keys and values without the positions that no longer hold good.

A block that was cut still has what was computed behind the cut. On this box nobody reads it; what leaves the box is not
to have it.
"""

import re
from dataclasses import replace

import numpy as np

from autoglmd.messages.sessions import KvBlock

# As OrtRunner.kv_layout says it: "4 of int8 2x64, 2 of float32 1x32", and behind a semicolon whose runtime.
_TENSORS = re.compile(r"(\d+) of [a-z]+(\d+) (\d+)x(\d+)")


def trimmed(block: KvBlock, layout: str) -> KvBlock | None:
    """The block with what holds good of it and nothing else; `None` where the layout does not say how.

    Args:
        block: keys and values, tensor by tensor, each [kv_heads, held, width].
        layout: a ModelMark's `kv`.
    """
    if block.tokens == block.held:
        return block
    shapes = [tuple(map(int, found)) for found in _TENSORS.findall(layout.partition(";")[0])]
    rows = [(heads, bits * width // 8) for count, bits, heads, width in shapes for _ in range(count)]
    data = np.frombuffer(block.data, np.uint8)
    if sum(heads * size for heads, size in rows) * block.held != data.nbytes:
        return None
    pieces, offset = [], 0
    for heads, size in rows:
        end = offset + heads * block.held * size
        pieces.append(data[offset:end].reshape(heads, block.held, size)[:, : block.tokens].reshape(-1))
        offset = end
    return replace(block, held=block.tokens, data=np.concatenate(pieces).data)
