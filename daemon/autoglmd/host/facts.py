"""What this box is: processor, usable cores, memory. For thread counts and the keys of prepared models."""

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from autoglmd.host.cgroup import Cgroup

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The facts at start.

    Attributes:
        machine: the kernel's name of the architecture, such as "x86_64" or "aarch64".
        cpu_model: what the processor is called; on arm64 implementer and part where it has no name.
        cpu_features: the kernel's feature flags, sorted; what code may use depends on nothing else.
        cores: how many may be busy at once: affinity and cgroup quota counted, at least 1.
        memory_bytes: what this process may use in all: the box's, or the cgroup's limit if that is lower.
    """

    machine: str
    cpu_model: str
    cpu_features: tuple[str, ...]
    cores: int
    memory_bytes: int

    @property
    def features_digest(self) -> str:
        """What tells processors apart that compute with other kernels."""
        return hashlib.sha256(" ".join(self.cpu_features).encode()).hexdigest()[:16]


def read_facts(root: Path = ROOT) -> HostFacts:
    """Read them from /proc and /sys under `root`. What cannot be read is empty, or 0."""
    cpu = _cpu_fields(root)
    cgroup = Cgroup.of_this_process(root)
    return HostFacts(
        machine=platform.machine(),
        cpu_model=_cpu_model(cpu, root),
        # x86 says "flags", arm64 "Features", RISC-V "isa".
        cpu_features=tuple(sorted((cpu.get("flags") or cpu.get("Features") or cpu.get("isa", "")).split())),
        cores=_usable_cores(len(os.sched_getaffinity(0)), cgroup.cpu_quota()),
        memory_bytes=_least(_meminfo_bytes(root, "MemTotal"), cgroup.memory_limit_bytes()),
    )


def _usable_cores(allowed: int, quota: float | None) -> int:
    # Rounded down: with more busy threads than quota the kernel stops all of them for the rest of each
    # period, and threads that wait for one another make that worse.
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _least(total: int, limit: int | None) -> int:
    return total if limit is None else min(total, limit) if total else limit


def _cpu_fields(root: Path) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _cpu_model(cpu: dict[str, str], root: Path) -> str:
    board = _read(root / "proc/device-tree/model").rstrip("\0")
    part = " ".join(cpu[key] for key in ("CPU implementer", "CPU part", "CPU variant") if key in cpu)
    return cpu.get("model name") or ", ".join(filter(None, (board, part))) or platform.processor()


def _meminfo_bytes(root: Path, name: str) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
