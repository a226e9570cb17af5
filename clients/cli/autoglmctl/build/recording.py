"""The float graph's logits, run once and kept on disk: what every form that is made of it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from autoglmctl.build.runner import GraphRunner


class Recording:
    """A folder with one file of logits per window: the bytes of float32 `[tokens, vocabulary]`.

    So a float graph and an INT8 one are never in memory together, and none of several INT8 ones waits for the
    float graph again. Beside a float graph the disk hardly notices: 4 bytes per position and word.
    """

    def __init__(self, folder: Path) -> None:
        """Keep it in `folder`, which is made."""
        self._folder = folder
        self._shapes: list[tuple[int, ...]] = []
        folder.mkdir()

    def record(self, runner: GraphRunner, windows: list[np.ndarray], progress: Callable[[float], None]) -> None:
        """Run `windows` of ids, int64 `[tokens]`, through a graph that gives every position's logits."""
        for number, window in enumerate(windows):
            logits = np.ascontiguousarray(runner.logits(window), dtype=np.float32)
            # Not numpy's own way of saving: on a full disk its error does not say that the disk is full.
            self._file(number).write_bytes(logits.data)
            self._shapes.append(logits.shape)
            progress((number + 1) / len(windows))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give each window's logits, mapped from its file."""
        for number, shape in enumerate(self._shapes):
            yield np.memmap(self._file(number), dtype=np.float32, mode="r", shape=shape)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.f32"
