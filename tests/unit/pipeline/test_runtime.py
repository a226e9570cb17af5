"""What keys and values depend on beside the model: nobody else's are used, and none of another box's."""

from dataclasses import replace

from autoglmd.host.facts import HostFacts
from autoglmd.pipeline.loading import runtime_of
from tests.support.fake_runner import FakeRunner

FACTS = HostFacts("x86_64", "Some CPU", ("avx2", "sse2"), 4, 1 << 30)
SPEC = FakeRunner().spec


def test_other_kernels_are_another_runtime() -> None:
    """Another processor, another machine, another provider, another GPU; and the same are the same."""
    facts = (FACTS, replace(FACTS, cpu_features=("avx2", "avx512f", "sse2")), replace(FACTS, machine="aarch64"))
    specs = (SPEC, replace(SPEC, provider="CUDAExecutionProvider"), replace(SPEC, prepared=not SPEC.prepared))
    told = {runtime_of(spec, each, gpu) for spec in specs for each in facts for gpu in ("", "Some GPU", "Other GPU")}
    assert len(told) == 27
    assert runtime_of(SPEC, replace(FACTS, cores=1, cpu_model="x", memory_bytes=1), "") == runtime_of(SPEC, FACTS, "")
    assert all(each.isprintable() for each in told)
