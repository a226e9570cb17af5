"""What the box is, read from made-up /proc and /sys trees."""

import os
from pathlib import Path

import pytest

from autoglmd.host.facts import read_facts

X86 = """processor\t: 0
model name\t: Example CPU @ 2.00GHz
flags\t\t: sse2 avx2 avx512_vnni

processor\t: 1
model name\t: Other CPU
flags\t\t: sse2
"""
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd asimddp
CPU implementer\t: 0x41
CPU variant\t: 0x1
CPU part\t: 0xd0b
"""
GIBIBYTE = 1 << 30


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A root with an x86 processor, 4 GiB and no limits."""
    write(tmp_path, "proc/cpuinfo", X86)
    write(tmp_path, "proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/autoglmd.service\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    """A file with its folders."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_an_x86_box_is_read(box: Path) -> None:
    """The first processor speaks for all; features are sorted."""
    facts = read_facts(box)
    assert facts.cpu_model == "Example CPU @ 2.00GHz"
    assert facts.cpu_features == ("avx2", "avx512_vnni", "sse2")
    assert facts.memory_bytes == 4 * GIBIBYTE


def test_an_arm_box_is_read(box: Path) -> None:
    """It names its processor by numbers, and its board by the device tree."""
    write(box, "proc/cpuinfo", ARM)
    assert read_facts(box).cpu_model == "0x41 0xd0b 0x1"
    write(box, "proc/device-tree/model", "Example Nano\0")
    facts = read_facts(box)
    assert facts.cpu_model == "Example Nano, 0x41 0xd0b 0x1"
    assert facts.cpu_features == ("asimd", "asimddp", "fp")


def test_without_a_quota_the_affinity_counts(box: Path) -> None:
    """A processor that we may not run on is none."""
    assert read_facts(box).cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)])
def test_the_services_quota_bounds_the_cores(box: Path, quota: str, cores: int | None) -> None:
    """At least one, however small the quota."""
    write(box, "sys/fs/cgroup/system.slice/autoglmd.service/cpu.max", quota)
    assert read_facts(box).cores == (cores or len(os.sched_getaffinity(0)))


def test_a_limit_on_a_group_above_counts_too(box: Path) -> None:
    """The lowest on the way wins."""
    write(box, "sys/fs/cgroup/system.slice/memory.max", str(GIBIBYTE))
    write(box, "sys/fs/cgroup/system.slice/autoglmd.service/memory.max", "max")
    write(box, "sys/fs/cgroup/system.slice/cpu.max", "100000 100000")
    facts = read_facts(box)
    assert (facts.memory_bytes, facts.cores) == (GIBIBYTE, 1)


def test_cgroup_v1_limits_are_read(box: Path) -> None:
    """Older boards still have it; "no limit" is a very large number there."""
    write(box, "proc/self/cgroup", "9:memory:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a\n")
    write(box, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n")
    write(box, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    write(box, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    facts = read_facts(box)
    assert (facts.memory_bytes, facts.cores) == (4 * GIBIBYTE, 1)
    write(box, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", f"{GIBIBYTE}\n")
    assert read_facts(box).memory_bytes == GIBIBYTE


def test_a_quota_of_minus_one_in_cgroup_v1_is_none(box: Path) -> None:
    """That is how it says "no limit" for time."""
    write(box, "proc/self/cgroup", "4:cpu,cpuacct:/\n")
    write(box, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(box, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert read_facts(box).cores == len(os.sched_getaffinity(0))


def test_a_box_that_hides_everything_still_has_facts(tmp_path: Path) -> None:
    """ProcSubset=pid leaves little of /proc."""
    facts = read_facts(tmp_path)
    assert facts.cores >= 1
    assert (facts.cpu_features, facts.memory_bytes) == ((), 0)


def test_this_box_has_facts() -> None:
    """The real files, whatever they say."""
    facts = read_facts()
    assert facts.machine
    assert facts.cores >= 1
    assert facts.memory_bytes > 0
