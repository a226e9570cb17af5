"""The limits that a service manager or container puts on this process: cgroup v2, or v1 on older boxes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOUNT = Path("sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The groups that this process is in, each with those above it: a limit anywhere on the way counts.

    Attributes:
        cpu: folders that may hold CPU limits, innermost first.
        memory: the same for memory.
    """

    cpu: tuple[Path, ...]
    memory: tuple[Path, ...]

    @classmethod
    def of_this_process(cls, root: Path) -> Self:
        """Read /proc/self/cgroup under `root`. No cgroups: no limits."""
        lines = _read(root / "proc/self/cgroup").splitlines()
        places = dict(_places(line) for line in lines if line.count(":") >= 2)
        unified = places.get("")
        mount = root / MOUNT
        return cls(
            cpu=tuple(_upward(mount, unified) if "cpu" not in places else _upward(mount / "cpu", places["cpu"])),
            memory=tuple(
                _upward(mount, unified) if "memory" not in places else _upward(mount / "memory", places["memory"])
            ),
        )

    def cpu_quota(self) -> float | None:
        """The lowest number of processors' worth of time that we may use, or `None`."""
        quotas = [quota for folder in self.cpu if (quota := _quota(folder)) is not None]
        return min(quotas, default=None)

    def memory_limit_bytes(self) -> int | None:
        """The lowest memory limit, or `None`."""
        limits = [limit for folder in self.memory if (limit := _memory_limit(folder)) is not None]
        return min(limits, default=None)


def _places(line: str) -> tuple[str, str]:
    """Controller and path of "0::/a/b" (v2: empty controller) or "4:cpu,cpuacct:/a" (v1)."""
    _, controllers, path = line.split(":", 2)
    named = controllers.split(",")
    return next((name for name in ("cpu", "memory") if name in named), controllers), path


def _upward(mount: Path, path: str | None) -> Iterator[Path]:
    """The group's folder and all above it; in a container only the last of them, the mount, may exist."""
    if path is None:
        return
    inside = Path(path.lstrip("/"))
    yield from (mount / step for step in (inside, *inside.parents))


def _quota(folder: Path) -> float | None:
    unified = _read(folder / "cpu.max").split()
    quota, period = unified if len(unified) == 2 else _quota_v1(folder)
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _quota_v1(folder: Path) -> tuple[str, str]:
    return _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()


def _memory_limit(folder: Path) -> int | None:
    text = (_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
