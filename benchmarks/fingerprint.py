"""Where a result comes from: kept with each, so that figures of different origins never meet in one table."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.process import ROOT

MEASURED_FOLDERS = ("benchmarks", "daemon", "clients")
"""Changes in them that are not committed make a commit say less than it seems to."""
SOURCE_SUFFIXES = (".py", ".c", ".h")
UNKNOWN = "unknown"
NOT_OURS = "not ours"
"""Stands in place of the hash of our sources with results of peers, which our changes do not touch."""
COMPARED = ("processor", "cores", "INT8-relevant features", "last-level cache", "memory", "onnxruntime")
"""Facts of `machine.facts` in which results of one table must not differ. A kernel's update does not part them."""


@dataclass(frozen=True)
class Origin:
    """The part of a fingerprint that must be the same for all results of a page."""

    facts: tuple[tuple[str, str], ...]

    @staticmethod
    def of(fingerprint: Mapping[str, Any] | None) -> Origin:
        """Return the origin that a stored fingerprint tells of; without one it is unknown, and like no other."""
        if not fingerprint:
            return Origin(())
        facts = fingerprint["machine"]
        return Origin(tuple((name, facts.get(name, "unknown")) for name in COMPARED))

    def difference(self, other: Origin) -> str:
        """Say in what this origin differs from another one."""
        if not self.facts or not other.facts:
            return "measured before results told where they come from"
        theirs = dict(other.facts)
        return ", ".join(f"{name} {value}" for name, value in self.facts if theirs[name] != value)


def read() -> dict[str, Any]:
    """Return the machine's facts, the commit, which measured folders differ from it, and what they really hold."""
    commit = _git("rev-parse", "HEAD") or UNKNOWN
    return {"machine": dict(machine.facts()), "commit": commit, "changed": changed(), "sources": sources()}


def changed() -> list[str]:
    """Return those of `MEASURED_FOLDERS` that differ from the commit; `UNKNOWN` alone where git cannot tell."""
    states = {folder: _git("status", "--porcelain", "--", folder) for folder in MEASURED_FOLDERS}
    if None in states.values():
        return [UNKNOWN]
    return [folder for folder, state in states.items() if state]


def sources(root: Path = ROOT) -> str:
    """Return a hash of the sources in `MEASURED_FOLDERS`: their names and what they hold."""
    hashed = hashlib.sha256()
    files = (file for folder in MEASURED_FOLDERS for file in (root / folder).rglob("*"))
    for file in sorted(file for file in files if file.suffix in SOURCE_SUFFIXES):
        content = file.read_bytes()
        hashed.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return hashed.hexdigest()[:16]


def commit_text(fingerprint: Mapping[str, Any]) -> str:
    """Render a fingerprint's commit, and what was changed on top of it."""
    short = str(fingerprint["commit"])[:12]
    if UNKNOWN in fingerprint["changed"]:
        return f"{short}; whether anything was changed on top of it is not known"
    folders = ", ".join(f"{folder}/" for folder in fingerprint["changed"])
    return f"{short} with uncommitted changes in {folders}" if folders else short


def _git(*arguments: str) -> str | None:
    """Return what git says, or `None` where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
