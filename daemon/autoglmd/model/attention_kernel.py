"""Which of onnxruntime's attention kernels a session gets on the CPU.

`GroupQueryAttention` has two: one walks the keys in blocks and keeps a running maximum (flash), the other writes all
scores of a run into memory and multiplies. The second is the faster one for the chunks of a prompt; its scratch memory
grows with chunk x context. The choice is an environment variable that the kernel reads where it is made, that is while
the session is loaded (onnxruntime 1.31, docs/decisions/attention-kernel.md).
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGEST_SCRATCH_BYTES = 64 << 20
VARIABLE = "ORT_GQA_DISABLE_FLASH_ATTENTION"
_BLOCKWISE, _SCORES = "0", "1"
_SCORE_BYTES = 4
_loading = threading.Lock()

# There before any thread is: from now on its text is replaced in place, and no reader of the environment, in whatever
# library, sees it move.
os.environ[VARIABLE] = _BLOCKWISE


def scratch_bytes(heads: int, run_tokens: int, context_tokens: int) -> int:
    """Bytes of the scores of one run: float32 `[heads, run_tokens, context_tokens]`."""
    return heads * run_tokens * context_tokens * _SCORE_BYTES


@contextmanager
def attention_kernel(scratch: int) -> Iterator[None]:
    """Load a session inside the block; it writes its scores out where `scratch` bytes are little enough.

    One session at a time: the environment is the process's.
    """
    with _loading:
        os.environ[VARIABLE] = _SCORES if scratch <= LARGEST_SCRATCH_BYTES else _BLOCKWISE
        yield
