"""A bar on stderr while a long prompt is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from autoglmctl.terminal import Terminal


class PrefillBar:
    """Appears at the first progress event, if anybody looks, and is gone before the first token."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._progress: Progress | None = None
        self._task: Any = None

    def show(self, done: int, total: int) -> None:
        """Move the bar to `done` of `total` tokens."""
        if self._progress is None:
            if not self._terminal.shows_progress:
                return
            self._progress = self._terminal.progress()
            self._task = self._progress.add_task("reading the prompt", total=total, note="")
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total, note=f"{done}/{total} tokens")

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
