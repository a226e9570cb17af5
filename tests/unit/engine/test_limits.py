"""What a configuration and a model bound together."""

import pytest

from autoglmd.config.rooms import EngineConfig
from autoglmd.engine.engine import limits_of
from autoglmd.engine.plan import Limits
from tests.support.fake_runner import FakeRunner


@pytest.mark.parametrize(("kv_bytes", "kv_tokens"), [(0, 256), (80, 10), (10**9, 256)])
def test_limits_come_from_the_configuration_and_the_model(kv_bytes: int, kv_tokens: int) -> None:
    """kv_bytes is turned into positions; 0 and more than all rows mean all rows."""
    spec = FakeRunner(rows=4, context_tokens=64).spec
    config = EngineConfig(kv_bytes=kv_bytes, prefill_chunk_tokens=32, prefill_padding=0.5)
    assert limits_of(config, spec) == Limits(rows=4, kv_tokens=kv_tokens, chunk_tokens=32, padding=0.5)
