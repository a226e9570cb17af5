"""From a request to its stream, on onnxruntime and a tiny model, without gRPC."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import EngineConfig, ModelConfig, SessionsConfig
from autoglmd.errors.model import ModelCorruptError
from autoglmd.errors.request import PromptTooLongError
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import (
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    Message,
    PrefillProgress,
    Prompt,
    SamplingParams,
    Started,
    StreamEvent,
    TextPrompt,
    TokenPrompt,
    TokenText,
)
from autoglmd.model.ort_runner import available_providers
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.model_preparer import Preparer
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import open_sessions
from tests.support.fixture_models import FOLDER, TINY_MODELS, copy_bundle
from tests.support.gateway_rig import no_status

LIMIT_SECONDS = 60.0
GREEDY = SamplingParams(temperature=0.0)


class Rig:
    """A gateway, and models loaded into it."""

    def __init__(self, folder: Path) -> None:
        router = Router(asyncio.get_running_loop())
        self.book = open_sessions(folder / "sessions", SessionsConfig(), SystemClock())
        self._context = LoadContext(
            SystemClock(), router, self.book, 0, 1, folder / "prepared", Preparer(), lambda _name, _state: None
        )
        self.catalog = Catalog(dict.fromkeys(TINY_MODELS, ""), "tiny-int8")
        self.gateway = Gateway(self.catalog, self.book, router, SystemClock(), no_status)

    def load(self, name: str = "tiny-int8", device: str = "cpu", **engine: int) -> ServedModel:
        """Load a tiny model as shipped."""
        config = ModelConfig(str(FOLDER / name), device, prepare=False, engine=EngineConfig(rows=4, **engine))
        served = load_model(name, config, self._context)
        self.catalog.add(served)
        return served

    async def ask(
        self,
        prompt: Prompt,
        sampling: SamplingParams = GREEDY,
        max_tokens: int | None = 10,
        stop: tuple[str, ...] = (),
        model: str = "",
    ) -> list[StreamEvent]:
        """A whole stream."""
        now = SystemClock().monotonic()
        request = GenerationRequest(f"r{now}", model, prompt, sampling, max_tokens, stop, True, None, now, "t")
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.generate(request)]


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A rig whose models are stopped afterwards, with nobody in their rows."""
    rig = Rig(tmp_path)
    yield rig
    for served in rig.catalog.served():
        assert await asyncio.to_thread(served.stop, LIMIT_SECONDS)
        assert served.engine.stats.rows_in_use == 0
    assert await asyncio.to_thread(rig.book.stop, LIMIT_SECONDS)


def text_of(events: list[StreamEvent]) -> str:
    """What the client reads."""
    return "".join(event.text for event in events if isinstance(event, TokenText))


def ids_of(events: list[StreamEvent]) -> tuple[int, ...]:
    """What the model drew."""
    return tuple(token for event in events if isinstance(event, TokenText) for token in event.ids)


@pytest.mark.parametrize("name", TINY_MODELS)
async def test_a_text_is_answered_with_the_text_of_its_tokens(rig: Rig, name: str) -> None:
    """The pieces are the decoding of all ids, and the counts are right."""
    served = rig.load(name)
    events = await rig.ask(TextPrompt("你好,介绍一下你自己"), max_tokens=40, model=name)
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert text_of(events) == served.rules.tokenizer.decode(ids_of(events))
    assert (finished.reason, finished.usage.output_tokens) == (FinishReason.LENGTH, 40)
    assert finished.usage.prompt_tokens == started.prompt_tokens > 0
    timings = finished.timings
    assert timings.total == pytest.approx(timings.queue + timings.prefill + timings.decode)
    assert min(timings.queue, timings.prefill, timings.decode) >= 0


async def test_text_chat_and_ids_of_one_prompt_are_answered_alike(rig: Rig) -> None:
    """The chat template's text, sent as a prompt, and its ids are the same request."""
    rules = rig.load().rules
    chat = ChatPrompt((Message("user", "hello"),))
    assert rules.template is not None
    rendered = rules.template.render(chat.messages)
    ids = tuple(rules.tokenizer.encode(rendered, add_prefix=False))
    answers = [ids_of(await rig.ask(prompt)) for prompt in (chat, TextPrompt(rendered), TokenPrompt(ids))]
    assert answers[0] == answers[1] == answers[2]


async def test_a_seed_gives_the_same_answer_again_and_is_told_where_it_was_drawn(rig: Rig) -> None:
    """Asking again with the seed of Started repeats an answer that nobody chose a seed for."""
    rig.load()
    first = await rig.ask(TextPrompt("hello"), SamplingParams(temperature=1.5), max_tokens=30)
    assert isinstance(first[0], Started)
    again = await rig.ask(TextPrompt("hello"), SamplingParams(temperature=1.5, seed=first[0].seed), max_tokens=30)
    assert ids_of(again) == ids_of(first)


async def test_a_stop_string_ends_the_answer_before_itself(rig: Rig) -> None:
    """Whatever the model says, cut at letters from its middle."""
    rig.load()
    whole = text_of(await rig.ask(TextPrompt("hello"), max_tokens=60))
    stop = whole[20:24]
    events = await rig.ask(TextPrompt("hello"), max_tokens=60, stop=(stop,))
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].stop) == (FinishReason.STOP, stop)
    assert text_of(events) == whole[: whole.index(stop)]


async def test_each_id_has_its_log_probability(rig: Rig) -> None:
    """One entry per id, in order, with alternatives that have texts."""
    rig.load()
    sampling = SamplingParams(temperature=0.0, logprobs=3)
    events = await rig.ask(TextPrompt("hello"), sampling, max_tokens=20)
    entries = [entry for event in events if isinstance(event, TokenText) for entry in event.logprobs]
    assert tuple(entry.chosen.token_id for entry in entries) == ids_of(events)
    assert all(len(entry.top) == 3 and entry.top[0].logprob == entry.chosen.logprob for entry in entries)


async def test_a_long_prompt_tells_its_progress(rig: Rig) -> None:
    """Rising counts between Started and the first token."""
    rig.load(prefill_chunk_tokens=64)
    events = await rig.ask(TokenPrompt((9,) * 300))
    done = [event.done_tokens for event in events if isinstance(event, PrefillProgress)]
    assert done == [64, 128, 192, 256]
    assert all(isinstance(event, PrefillProgress) for event in events[1 : 1 + len(done)])


async def test_a_prompt_beyond_the_kv_budget_is_refused_by_the_keys_name(rig: Rig) -> None:
    """256 bytes per token: memory for 100 tokens is less than the context."""
    rig.load(kv_bytes=100 * 256)
    with pytest.raises(PromptTooLongError, match=r"engine\.kv_bytes\) is 100 tokens"):
        await rig.ask(TokenPrompt((9,) * 95))
    assert isinstance((await rig.ask(TokenPrompt((9,) * 90)))[-1], Finished)


@pytest.mark.skipif("CUDAExecutionProvider" in available_providers(), reason="this box has what the test lacks")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
async def test_falling_back_to_the_cpu_is_loud(rig: Rig, device: str, caplog: pytest.LogCaptureFixture) -> None:
    """The model is served; the log warns, and the model's entry says why it is not where it was wanted."""
    served = rig.load(device=device)
    assert served.info.provider == "CPUExecutionProvider"
    assert f"device '{device}' needs" in served.info.fallback
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert served.info.fallback in warnings
    assert ids_of(await rig.ask(TextPrompt("hello")))


async def test_auto_takes_what_there_is_without_a_word(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody asked for a GPU, so nobody is told of its absence."""
    assert rig.load(device="auto").info.fallback == ""
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.onnx.data").unlink(),
        lambda folder: (folder / "model.onnx").write_bytes(b""),
    ],
)
async def test_a_model_that_does_not_load_leaves_no_thread(
    rig: Rig, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """Neither an engine nor a prefetch thread was started for it."""
    folder = copy_bundle("tiny-int8", tmp_path / "broken")
    damage(folder)
    config = ModelConfig(str(folder), "cpu", prepare=False)
    with pytest.raises(ModelCorruptError):
        load_model("broken", config, rig._context)
    assert not [thread for thread in threading.enumerate() if "broken" in thread.name]
