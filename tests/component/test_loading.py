"""Loading a model: from its prepared copy if that is sound, from the bundle if not, and loudly where that is worse."""

import asyncio
import dataclasses
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import EngineConfig, ModelConfig, SessionsConfig
from autoglmd.errors.base import ConfigError
from autoglmd.host.clock import SystemClock
from autoglmd.host.facts import read_facts
from autoglmd.messages.status import ModelState
from autoglmd.model.prepare import GRAPH_FILE, KEY_FILE
from autoglmd.pipeline import loading
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.model_preparer import Preparer
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import open_sessions
from tests.support.fixture_models import FOLDER

LIMIT_SECONDS = 20.0
Load = Callable[..., ServedModel]
Stage = tuple[str, ModelState]


@pytest.fixture
def stages() -> list[Stage]:
    """What was told while models were loaded."""
    return []


@pytest_asyncio.fixture
async def load(tmp_path: Path, stages: list[Stage]) -> AsyncIterator[Load]:
    """Loads tiny models; their engines are stopped afterwards."""
    book = open_sessions(tmp_path / "sessions", SessionsConfig(), SystemClock())
    context = LoadContext(
        SystemClock(),
        Router(asyncio.get_running_loop()),
        book,
        0,
        1,
        tmp_path / "prepared",
        Preparer(),
        lambda name, state: stages.append((name, state)),
    )
    loaded: list[ServedModel] = []

    def make(name: str = "tiny-int8", *, prepare: bool = True, kv_bytes: int = 0) -> ServedModel:
        engine = EngineConfig(kv_bytes=kv_bytes)
        config = ModelConfig(str(FOLDER / name), device="cpu", prepare=prepare, engine=engine)
        loaded.append(load_model(name, config, context))
        return loaded[-1]

    yield make
    for served in loaded:
        assert await asyncio.to_thread(served.stop, LIMIT_SECONDS)
    assert await asyncio.to_thread(book.stop, LIMIT_SECONDS)


def damage(folder: Path) -> None:
    """Break the graph in a way that its size does not show."""
    graph = folder / GRAPH_FILE
    graph.write_bytes(b"\0" * graph.stat().st_size)


async def test_the_prepared_copy_is_made_once_and_loaded(load: Load, tmp_path: Path, stages: list[Stage]) -> None:
    """The second start finds it; whoever looks meanwhile is told that the first makes it."""
    assert load().info.prepared
    assert stages == [("tiny-int8", ModelState.PREPARING), ("tiny-int8", ModelState.LOADING)]
    key = tmp_path / "prepared" / "tiny-int8" / KEY_FILE
    made_at = key.stat().st_mtime_ns
    assert load().info.prepared
    assert key.stat().st_mtime_ns == made_at
    assert stages[2:] == [("tiny-int8", ModelState.LOADING)]


async def test_a_prepared_copy_that_does_not_load_is_removed_and_the_bundle_served(
    load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Now as shipped, with a warning; the next start makes a sound one."""
    load()
    folder = tmp_path / "prepared" / "tiny-int8"
    damage(folder)
    assert not load().info.prepared
    assert "the prepared copy does not load and is removed" in caplog.text
    assert list(folder.iterdir()) == []
    assert load().info.prepared


async def test_a_copy_of_another_format_is_made_again(load: Load, tmp_path: Path) -> None:
    """An upgrade of ours may change what the files mean."""
    load()
    key = tmp_path / "prepared" / "tiny-int8" / KEY_FILE
    content = json.loads(key.read_text())
    content["key"]["format"] = 1
    key.write_text(json.dumps(content))
    assert load().info.prepared
    assert json.loads(key.read_text())["key"]["format"] > 1


@pytest.mark.parametrize(("name", "loud"), [("tiny-per-token", True), ("tiny-int8", False)])
async def test_a_graph_that_may_compute_wrongly_here_is_loaded_loudly(
    load: Load, name: str, loud: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W8A8 as shipped on a processor whose products saturate; groups compute rightly everywhere."""
    haswell = dataclasses.replace(read_facts(), machine="x86_64", cpu_features=("avx2",))
    monkeypatch.setattr(loading, "read_facts", lambda: haswell)
    with caplog.at_level(logging.WARNING):
        load(name, prepare=False)
    assert ("answers of this model may be wrong" in caplog.text) is loud


async def test_kv_memory_that_holds_no_request_is_refused_with_what_would_do(load: Load) -> None:
    """Served, it would refuse every request and blame the caller."""
    with pytest.raises(
        ConfigError, match=r"kv_bytes = 1 holds 0 tokens of tiny-int8, .* Set (\d+) at least"
    ) as refusal:
        load(prepare=False, kv_bytes=1)
    enough = re.search(r"Set (\d+)", refusal.value.message)
    assert enough is not None
    assert load(prepare=False, kv_bytes=int(enough[1])).info.name == "tiny-int8"
