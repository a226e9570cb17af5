"""Raw results: one JSON file each, written once, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import disturbance

OTHERS = "others_share"
Result = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The folder of one run's raw results. Keys are paths: `peers/llama-0.43b/openvino/3`."""

    folder: Path
    patience_seconds: float = 0.0
    """How long to wait before each measurement for others to leave the machine alone."""

    def get(self, key: str) -> Result | None:
        """Return the result under `key`, or `None`."""
        path = self._path(key)
        if not path.exists():
            return None
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        return result

    def need(self, key: str, make: Callable[[], Result]) -> Result:
        """Return the result under `key`; measure and keep it first if it is not there.

        The share of the machine that others took meanwhile is kept with it.
        """
        known = self.get(key)
        if known is not None:
            return known
        disturbance.wait_until_quiet(self.patience_seconds)
        before = disturbance.read()
        result = make()
        result = {**result, OTHERS: round(before.others_share(disturbance.read()), 3)}
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1), encoding="utf-8")
        partial.replace(path)
        return result

    def under(self, prefix: str) -> dict[str, Result]:
        """Return every result whose key starts with the folder `prefix`, by the rest of its key, rounds in order."""
        base = self.folder / prefix
        keys = sorted(path.relative_to(base).with_suffix("") for path in base.rglob("*.json"))
        ordered = sorted(keys, key=lambda key: (str(key.parent), _round_number(key.name)))
        return {str(key): self._read(f"{prefix}/{key}") for key in ordered}

    def _read(self, key: str) -> Result:
        result = self.get(key)
        if result is None:
            raise KeyError(key)
        return result

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _round_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)
