"""The float graph's logits, run once and kept on disk: what every form that is made of it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from autoglmctl.build.runner import GraphRunner


class Recording:
    """A folder with one file of logits per window, float32 `[tokens, vocabulary]`.

    So a float graph and an INT8 one are never in memory together, and none of several INT8 ones waits for the
    float graph again. Beside a float graph the disk hardly notices: 4 bytes per position and word.
    """

    def __init__(self, folder: Path) -> None:
        """Keep it in `folder`, which is made."""
        self._folder = folder
        self._count = 0
        folder.mkdir()

    def record(self, runner: GraphRunner, windows: list[np.ndarray], progress: Callable[[float], None]) -> None:
        """Run `windows` of ids, int64 `[tokens]`, through a graph that gives every position's logits."""
        for window in windows:
            np.save(self._folder / f"{self._count}.npy", runner.logits(window))
            self._count += 1
            progress(self._count / len(windows))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give each window's logits, mapped from its file."""
        for number in range(self._count):
            yield np.load(self._folder / f"{number}.npy", mmap_mode="r")
