"""Raw results: one JSON file each, written once, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import disturbance, fingerprint
from benchmarks.fingerprint import NOT_OURS, UNKNOWN, Origin

OTHERS = "others_share"
TAKES = "takes"
FINGERPRINT = "fingerprint"
NAMED_FILES = 5
"""Files of one origin that an error names; it counts the rest."""
TABLES_OF_ONE_SHAPE = ("race",)
"""Experiments with a table for each shape; the others have one for all."""
Result = dict[str, Any]


class MixedResultsError(Exception):
    """Results that must not stand in one table lie in one folder."""


@dataclass(frozen=True)
class Store:
    """The folder of one run's raw results. Keys are paths: `peers/llama-0.43b/openvino/3`."""

    folder: Path
    patience_seconds: float = 0.0
    """How long to wait before each measurement for others to leave the machine alone."""
    retakes: int = 0
    """How often a measurement is taken again in which others did not. The least disturbed one counts."""
    fingerprint: Callable[[], dict[str, Any]] = fingerprint.read
    """Where a result that is measured now comes from."""

    def get(self, key: str) -> Result | None:
        """Return the result under `key`, or `None`."""
        path = self._path(key)
        if not path.exists():
            return None
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        return result

    def need(self, key: str, make: Callable[[], Result], ours: bool = True) -> Result:
        """Return the result under `key`; measure and keep it first if it is not there.

        Its fingerprint and the share of the machine that others took meanwhile are kept with it. `ours` says that it
        depends on our sources, whose hash it then carries.

        Raises:
            MixedResultsError: our sources have changed since other results of the same table were measured.
        """
        known = self.get(key)
        if known is not None:
            return known
        origin = self._origin(ours)
        self._check_sources(_table(key), {_sources({FINGERPRINT: origin}): [f"{key}.json (to be measured now)"]})
        result = {**self._least_disturbed(make), FINGERPRINT: origin}
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

    def paired(self, prefixes: Sequence[str]) -> list[list[Result]]:
        """Return the results under each prefix, of those rounds alone that all of them have."""
        found = [self.under(prefix) for prefix in prefixes]
        common = [number for number in found[0] if all(number in rounds for rounds in found)] if found else []
        return [[rounds[number] for number in common] for rounds in found]

    def check(self, measuring: bool = False) -> None:
        """See that all results can stand on one page, with those that are `measuring` now if so.

        Raises:
            MixedResultsError: they come from different machines or versions of onnxruntime, or one contender's engine
                was another one from round to round, or those of one table come from different sources of ours. The
                message names files and the remedy.
        """
        results = self.under(".")
        files: dict[Origin, list[str]] = defaultdict(list)
        for key, result in results.items():
            files[Origin.of(result.get(FINGERPRINT))].append(f"{key}.json")
        current = (
            Origin.of(self.fingerprint()) if measuring else max(files, key=lambda each: len(files[each]), default=None)
        )
        strangers = {origin: names for origin, names in files.items() if origin != current}
        if current is not None and strangers:
            raise MixedResultsError(self._mixed(current, strangers))
        self._check_engines(results)
        for name in {_table(key) for key in results}:
            self._check_sources(name, {})

    def _least_disturbed(self, make: Callable[[], Result]) -> Result:
        """What others took of the machine decides alone; what was measured is not looked at."""
        takes: list[Result] = []
        while not takes or (len(takes) <= self.retakes and takes[-1][OTHERS] > disturbance.DISTURBED_SHARE):
            disturbance.wait_until_quiet(self.patience_seconds)
            before = disturbance.read()
            taken = make()
            takes.append({**taken, OTHERS: round(before.others_share(disturbance.read()), 3)})
        return {**min(takes, key=lambda each: each[OTHERS]), TAKES: len(takes)}

    def _origin(self, ours: bool) -> dict[str, Any]:
        origin = self.fingerprint()
        return origin if ours else {**origin, "sources": NOT_OURS}

    def _check_sources(self, name: str, added: dict[str, list[str]]) -> None:
        """What one build did and what another would do are two contenders, and no table tells them apart."""
        files = defaultdict(list, added)
        for key, result in self.under(".").items():
            if _table(key) == name:
                files[_sources(result)].append(f"{key}.json")
        files.pop(NOT_OURS, None)
        if len(files) > 1:
            told = "\n".join(f"  sources {digest}: {_some(names)}" for digest, names in files.items())
            raise MixedResultsError(
                f"{self.folder} holds results of different sources of ours (benchmarks/, daemon/, clients/) for the "
                f"table of {name}:\n{told}\nRemove the files of all but one of them to measure those again with the "
                "sources as they are now, or bring back the sources that the others were measured with."
            )

    def _mixed(self, current: Origin, strangers: dict[Origin, list[str]]) -> str:
        lines = [f"  {_some(names)}: {origin.difference(current)}" for origin, names in strangers.items()]
        return "\n".join(
            [
                f"{self.folder} holds results of another machine or onnxruntime; ratios across them mean nothing:",
                *lines,
                "Remove those files to measure them again here, or keep them and give this run a --work of its own.",
            ]
        )

    def _check_engines(self, results: dict[str, Result]) -> None:
        """Versions and settings that the engine itself told must not change between rounds."""
        facts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for key, result in results.items():
            facts[str(Path(key).parent)][json.dumps(result.get("facts", {}))].append(f"{key}.json")
        for kinds in facts.values():
            if len(kinds) > 1:
                told = "\n".join(f"  {_some(names)}: {kind}" for kind, names in kinds.items())
                remedy = "Remove the files of one of them, and measure those again."
                raise MixedResultsError(f"{self.folder} mixes versions or settings of one engine:\n{told}\n{remedy}")

    def _read(self, key: str) -> Result:
        result = self.get(key)
        if result is None:
            raise KeyError(key)
        return result

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _table(key: str) -> str:
    """Return the name of the table that a result stands in."""
    experiment, *rest = Path(key).parts
    if experiment in TABLES_OF_ONE_SHAPE and rest:
        return f"{experiment}/{rest[0]}"
    return experiment_of(key)


def experiment_of(key: str) -> str:
    """Return the name of the experiment that a result belongs to; one keeps a part of its results beside the others."""
    return Path(key).parts[0].removesuffix("-accuracy")


def _sources(result: Result) -> str:
    """Return the hash of our sources that a result was measured with, `NOT_OURS`, or `UNKNOWN`."""
    return str(result.get(FINGERPRINT, {}).get("sources", UNKNOWN))


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _round_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)
