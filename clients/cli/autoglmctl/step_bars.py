"""Progress of long work, a bar per step, on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from autoglmctl.terminal import Terminal


class StepBars:
    """A context in which steps can be shown. Where nobody looks, each step is one line at its begin."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._terminal.shows_progress:
            self._progress = self._terminal.progress(transient=False)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is None:
            return
        if error is None:
            for task in self._tasks.values():
                self._progress.update(task, total=1.0, completed=1.0)
        self._progress.stop()

    def show(self, step: str, done: float | None) -> None:
        """How much of a step is done, 0 to 1; `None` where that is not known."""
        if step not in self._tasks:
            self._begin(step, done)
        elif self._progress is not None and done is not None:
            self._progress.update(self._tasks[step], completed=done, total=1.0)

    def _begin(self, step: str, done: float | None) -> None:
        if self._progress is None:
            self._tasks[step] = None
            self._terminal.remark(f"{step} ...")
            return
        # Until it has come a little way, a bar that moves to and fro is the honest one.
        total = 1.0 if done else None
        self._tasks[step] = self._progress.add_task(step, total=total, completed=done or 0.0, note="")
