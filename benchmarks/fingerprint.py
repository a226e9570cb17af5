"""Where a result comes from: kept with each, so that figures of different origins never meet in one table."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.process import ROOT

MEASURED_FOLDERS = ("benchmarks", "daemon", "clients")
"""Changes in them that are not committed make a commit say less than it seems to."""
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
    """Return the machine's facts, the commit, and which measured folders hold changes that are not committed."""
    return {"machine": dict(machine.facts()), "commit": _git("rev-parse", "HEAD") or "unknown", "changed": changed()}


def changed() -> list[str]:
    """Return those of `MEASURED_FOLDERS` that differ from the commit."""
    return [folder for folder in MEASURED_FOLDERS if _git("status", "--porcelain", "--", folder)]


def commit_text(fingerprint: Mapping[str, Any]) -> str:
    """Render a fingerprint's commit, and what was changed on top of it."""
    folders = ", ".join(f"{folder}/" for folder in fingerprint["changed"])
    short = str(fingerprint["commit"])[:12]
    return f"{short} with uncommitted changes in {folders}" if folders else short


def _git(*arguments: str) -> str:
    """Return what git says, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
