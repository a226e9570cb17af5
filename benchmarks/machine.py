"""The machine's facts, printed with every figure: a number without them says little."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

TELLING_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")
"""CPU features that decide which INT8 kernels run."""


def facts() -> dict[str, str]:
    """Return what there is to know about the processor, memory, system and Python."""
    cpu = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory_kib = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    return {
        "processor": cpu["model"],
        "cores": cpu["cores"],
        "INT8-relevant features": cpu["features"],
        "last-level cache": cpu["cache"],
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": platform.python_version(),
        "onnxruntime": metadata.version("onnxruntime"),
    }


def file_system(folder: Path, mounts: str = "") -> str:
    """Return kind and device of the file system that a folder lies on, from the text of `/proc/mounts`."""
    lines = (line.split()[:3] for line in (mounts or Path("/proc/mounts").read_text(encoding="utf-8")).splitlines())
    over = [(Path(place), f"{kind} on {device}") for device, place, kind in lines]
    holding = [each for each in over if folder.resolve().is_relative_to(each[0])]
    return max(holding, key=lambda each: len(each[0].parts), default=(folder, "unknown"))[1]


def parse_cpuinfo(text: str) -> dict[str, str]:
    """Read model, number of cores, telling features and cache size from the text of `/proc/cpuinfo`."""
    lines = [line.partition(":") for line in text.splitlines() if ":" in line]
    first = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = (first.get("flags") or first.get("Features") or "").split()
    numbers = [first[name] for name in ("cpu family", "model", "stepping") if name in first]
    name = first.get("model name") or first.get("CPU part") or "unknown"
    return {
        "model": f"{name} (family/model/stepping {'/'.join(numbers)})" if numbers else name,
        "cores": str(sum(name.strip() == "processor" for name, _, _ in lines)),
        "features": " ".join(flag for flag in TELLING_FLAGS if flag in flags) or "none",
        "cache": first.get("cache size", "unknown"),
    }
