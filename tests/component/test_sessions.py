"""Conversations: the next turn finds what was computed before, and answers as if nothing had happened between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config import EngineConfig, ModelConfig, SessionsConfig
from autoglmd.errors import InvalidArgumentError, PromptTooLongError, SessionBusyError
from autoglmd.host.clock import SystemClock
from autoglmd.messages import (
    CacheMiss,
    CacheTier,
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    Message,
    Prompt,
    SamplingParams,
    SessionKey,
    Started,
    StreamEvent,
    TextPrompt,
    TokenPrompt,
    TokenText,
)
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.preparing import Preparer
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.session_book import open_sessions
from tests.support.fixture_models import FOLDER, TINY_MODELS

LIMIT_SECONDS = 60.0
GREEDY = SamplingParams(temperature=0.0)
SEEDED = SamplingParams(temperature=1.3, seed=5)
TURNS = ("你好", "turn on the light", "and again, 好吗?")
USUAL = SessionsConfig()
NO_MEMORY = SessionsConfig(memory_bytes=0)


class Box:
    """A daemon's inside over a folder; a second one over the same folder is the daemon after a restart."""

    def __init__(self, folder: Path, name: str, sessions: SessionsConfig = USUAL, **engine: int) -> None:
        router = Router(asyncio.get_running_loop())
        self.stopped = False
        self.book = open_sessions(folder / "sessions", sessions, SystemClock())
        context = LoadContext(
            SystemClock(), router, self.book, 1 << 20, 1, folder, Preparer(), lambda _name, _state: None
        )
        settings = EngineConfig(**{"rows": 4, "context_tokens": 512, "prefill_chunk_tokens": 32, **engine})
        model = ModelConfig(str(FOLDER / name), "cpu", prepare=False, engine=settings)
        self.served = load_model("tiny", model, context)
        catalog = Catalog({"tiny": ""}, "tiny")
        catalog.add(self.served)
        self.gateway = Gateway(catalog, self.book, router, SystemClock(), lambda _gateway: None)  # type: ignore[arg-type,return-value]

    async def ask(self, prompt: Prompt | str, session: str = "", **changes: object) -> list[StreamEvent]:
        """A whole stream; a text is what a user says in a chat."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return [event async for event in self.gateway.generate(self.request(prompt, session, **changes))]

    def request(self, prompt: Prompt | str, session: str = "", **changes: object) -> GenerationRequest:
        """A request in a session, or in none."""
        now = SystemClock().monotonic()
        chat = ChatPrompt((Message("user", prompt),)) if isinstance(prompt, str) else prompt
        key = SessionKey("local", session) if session else None
        made = GenerationRequest(f"r{now}", "", chat, GREEDY, 12, (), True, None, now, "t", key)
        return replace(made, **changes)  # type: ignore[arg-type]

    async def saved(self) -> None:
        """Wait until all is on disk."""
        assert await asyncio.to_thread(self.book.flush, LIMIT_SECONDS)

    async def stop(self) -> None:
        """End everything, as a daemon does; a second time is nothing."""
        if self.stopped:
            return
        self.stopped = True
        assert await asyncio.to_thread(self.served.stop, LIMIT_SECONDS)
        assert self.served.engine.stats.rows_in_use == 0
        await asyncio.sleep(0)
        assert await asyncio.to_thread(self.book.stop, LIMIT_SECONDS)


Open = Callable[..., Box]


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, unless another is named."""
    boxes: list[Box] = []

    def make(name: str = "tiny-int8", sessions: SessionsConfig = USUAL, where: str = "box", **engine: int) -> Box:
        boxes.append(Box(tmp_path / where, name, sessions, **engine))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.stop()


def ids_of(events: list[StreamEvent]) -> tuple[int, ...]:
    """What the model drew."""
    return tuple(token for event in events if isinstance(event, TokenText) for token in event.ids)


def text_of(events: list[StreamEvent]) -> str:
    """What the client reads."""
    return "".join(event.text for event in events if isinstance(event, TokenText))


def started(events: list[StreamEvent]) -> Started:
    """The first event."""
    assert isinstance(events[0], Started)
    return events[0]


async def uninterrupted(open_box: Open, name: str, sampling: SamplingParams) -> list[tuple[int, ...]]:
    """The answers of a session that nothing comes between."""
    box = open_box(name, where="quiet")
    return [ids_of(await box.ask(text, "s", sampling=sampling)) for text in TURNS]


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", TINY_MODELS)
async def test_a_session_read_from_disk_answers_as_one_that_was_never_left(
    open_box: Open, name: str, sampling: SamplingParams
) -> None:
    """Byte for byte, after each turn."""
    expected = await uninterrupted(open_box, name, sampling)
    box = open_box(name, NO_MEMORY)
    for text, answer in zip(TURNS, expected, strict=True):
        events = await box.ask(text, "s", sampling=sampling)
        assert ids_of(events) == answer
        await box.saved()
    assert started(events).cache.tier is CacheTier.DISK


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", ["tiny-fp32", "tiny-int8"])
async def test_a_session_goes_on_after_a_restart_with_neighbours_in_the_batch(
    open_box: Open, name: str, sampling: SamplingParams
) -> None:
    """Byte for byte, another daemon for each turn, while others are being answered."""
    expected = await uninterrupted(open_box, name, sampling)
    for text, answer in zip(TURNS, expected, strict=True):
        box = open_box(name)
        others = [asyncio.create_task(box.ask(f"other {number} " * number, max_tokens=30)) for number in range(3)]
        await asyncio.sleep(0)
        assert ids_of(await box.ask(text, "s", sampling=sampling)) == answer
        await asyncio.gather(*others)
        await box.stop()


async def test_a_turn_costs_its_new_tokens(open_box: Open) -> None:
    """All of what was computed before is cached but nothing of it is a prompt to the engine."""
    box = open_box()
    first = started(await box.ask("你好" * 20, "s"))
    computed = box.served.stats.prompt_tokens
    second = started(await box.ask("good", "s"))
    assert (first.cache.cached_tokens, first.cache.miss) == (0, CacheMiss.NEW_SESSION)
    # All of the first prompt and its answer but the last token, whose logits nobody needed.
    assert second.cache.cached_tokens == first.prompt_tokens + 12 - 1
    assert (second.cache.tier, second.cache.miss) == (CacheTier.MEMORY, None)
    assert box.served.stats.prompt_tokens - computed == second.prompt_tokens - second.cache.cached_tokens < 40


async def test_three_sessions_do_not_know_of_each_other(open_box: Open) -> None:
    """A, B, A again: each answers as it does alone, and a tenant finds none of another's."""
    alone = open_box(where="alone")
    expected = [ids_of(await alone.ask(text, "a")) for text in TURNS]
    box = open_box(sessions=NO_MEMORY)
    for text, answer in zip(TURNS, expected, strict=True):
        assert ids_of(await box.ask(text, "a")) == answer
        await box.ask("my secret is 42", "b")
    stranger = replace(box.request(TURNS[0]), session=SessionKey("certificate:eve", "a"))
    events = [event async for event in box.gateway.generate(stranger)]
    assert (started(events).cache.cached_tokens, started(events).cache.miss) == (0, CacheMiss.NEW_SESSION)
    assert ids_of(events) == expected[0]
    await box.saved()
    assert {entry.session_id for entry in box.book.sessions("local")} == {"a", "b"}


async def test_an_answer_cut_by_a_stop_string_is_remembered_as_it_was_sent(open_box: Open) -> None:
    """What the engine drew behind it is taken back, and the conversation goes on from the text that was read."""
    box = open_box("tiny-fp32")
    whole = text_of(await box.ask("hello", max_tokens=60))
    stop = whole[20:24]
    said = text_of(await box.ask("hello", "s", max_tokens=60, stop=(stop,)))
    assert said == whole[: whole.index(stop)]
    second = await box.ask("more", "s")
    told = box.book.find(SessionKey("local", "s"))
    assert told is not None
    assert told.messages[1] == Message("assistant", said)
    again = await box.ask(TokenPrompt(told.ids[: -len(ids_of(second))]))
    assert ids_of(again) == ids_of(second)
    rules = box.served.rules
    assert rules.tokenizer.decode(told.ids).count(said) == 1


async def test_a_client_that_leaves_leaves_what_it_was_sent(open_box: Open) -> None:
    """And the session is free for the next request."""
    box = open_box()
    stream = box.gateway.generate(box.request("hello", "s", max_tokens=300))
    said = ""
    async for event in stream:
        said += event.text if isinstance(event, TokenText) else ""
        if len(said) > 10:
            break
    await stream.aclose()
    events = await box.ask("more", "s")
    assert isinstance(events[-1], Finished)
    told = box.book.find(SessionKey("local", "s"))
    assert told is not None
    assert told.messages[1] == Message("assistant", said)


async def test_a_second_request_waits_for_the_first(open_box: Open) -> None:
    """In the order in which they came; the session has both turns then."""
    box = open_box()
    answers = await asyncio.gather(*(box.ask(text, "s") for text in TURNS))
    expected = await uninterrupted(open_box, "tiny-int8", GREEDY)
    assert [ids_of(events) for events in answers] == expected


async def test_a_second_request_is_refused_where_nobody_may_wait(open_box: Open) -> None:
    """The first is not disturbed."""
    box = open_box(sessions=SessionsConfig(busy="refuse"))
    first = asyncio.create_task(box.ask("hello", "s", max_tokens=200))
    await asyncio.sleep(0)
    with pytest.raises(SessionBusyError, match="answering another request"):
        await box.ask("more", "s")
    assert isinstance((await first)[-1], Finished)
    assert isinstance((await box.ask("more", "s"))[-1], Finished)


async def test_one_who_waits_for_a_session_can_be_cancelled(open_box: Open) -> None:
    """The line closes up behind it."""
    box = open_box()
    first = asyncio.create_task(box.ask("hello", "s", max_tokens=200))
    second = asyncio.create_task(box.ask("more", "s", request_id="second"))
    third = asyncio.create_task(box.ask("most", "s"))
    await asyncio.sleep(0)
    assert box.gateway.cancel("second")
    finished = (await second)[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is FinishReason.CANCELLED
    assert isinstance((await first)[-1], Finished)
    assert isinstance((await third)[-1], Finished)


async def test_a_refused_request_changes_nothing_and_frees_the_session(open_box: Open) -> None:
    """A prompt that does not fit is told with the counts of the whole conversation."""
    box = open_box()
    first = started(await box.ask("hello", "s"))
    with pytest.raises(PromptTooLongError, match="512 tokens") as refusal:
        await box.ask("more", "s", max_tokens=490)
    assert refusal.value.prompt_tokens > first.prompt_tokens + 12
    with pytest.raises(InvalidArgumentError, match="goes on with a session of chats"):
        await box.ask(TextPrompt("more"), "s")
    expected = await uninterrupted(open_box, "tiny-int8", GREEDY)
    box2 = open_box(where="third")
    assert ids_of(await box2.ask(TURNS[0], "s")) == expected[0]


async def test_another_model_takes_a_conversation_up_from_its_text(open_box: Open) -> None:
    """Nothing that the first model computed is used; what was said is."""
    box = open_box("tiny-int8")
    await box.ask("hello", "s")
    await box.stop()
    other = open_box("tiny-per-token")
    events = await other.ask("more", "s")
    assert started(events).cache.miss is CacheMiss.MODEL_CHANGED
    assert started(events).cache.cached_tokens == 0
    told = other.book.find(SessionKey("local", "s"))
    assert told is not None
    assert await fresh_answer(other, told.messages[:-1]) == told.messages[-1].content


async def fresh_answer(box: Box, messages: tuple[Message, ...]) -> str:
    """What a conversation is answered without a session."""
    return text_of(await box.ask(ChatPrompt(messages)))


async def test_plain_prompts_and_tokens_go_on_where_the_last_ended(open_box: Open) -> None:
    """The session's text is the whole: an answer to its parts is one to all of it."""
    box = open_box("tiny-fp32")
    rules = box.served.rules
    first = await box.ask(TextPrompt("hello"), "s")
    more = tuple(rules.tokenizer.encode(" more", add_prefix=False))
    second = await box.ask(TokenPrompt(more), "s")
    prompt = (*rules.tokenizer.encode("hello", add_prefix=True), *ids_of(first), *more)
    whole = await box.ask(TokenPrompt(prompt))
    assert ids_of(second) == ids_of(whole)
    with pytest.raises(InvalidArgumentError, match="session of plain prompts"):
        await box.ask("hello", "s")


async def test_the_last_turn_is_saved_where_the_daemon_stops(open_box: Open) -> None:
    """Stopping waits for the disk."""
    box = open_box()
    await box.ask(TURNS[0], "s")
    await box.stop()
    events = await open_box().ask(TURNS[1], "s")
    assert started(events).cache.tier is CacheTier.DISK


async def test_a_prompt_without_tokens_is_refused_before_it_reaches_the_engine(open_box: Open) -> None:
    """A space is nothing to this tokenizer; who runs beside it goes on."""
    box = open_box()
    neighbour = asyncio.create_task(box.ask("hello", max_tokens=60))
    await asyncio.sleep(0)
    with pytest.raises(InvalidArgumentError, match="is empty"):
        await box.ask(TextPrompt(" "), "s")
    assert isinstance((await neighbour)[-1], Finished)


async def test_text_that_goes_on_is_not_set_apart(open_box: Open) -> None:
    """No space is put between two halves of a word."""
    box = open_box("tiny-int8")
    await box.ask(TextPrompt("hel"), "s", max_tokens=1)
    told = box.book.find(SessionKey("local", "s"))
    assert told is not None
    await box.ask(TextPrompt("lo"), "s", max_tokens=1)
    now = box.book.find(SessionKey("local", "s"))
    assert now is not None
    decode = box.served.rules.tokenizer.decode
    assert decode(now.ids[:-1]) == decode(told.ids) + "lo"


async def test_a_disk_that_cannot_be_written_keeps_no_answer_from_being_given(open_box: Open, tmp_path: Path) -> None:
    """The daemon serves, conversations live in memory, and the end says that something is lost."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "sessions").write_text("in the way")
    box = open_box()
    for text in TURNS:
        events = await box.ask(text, "s")
        assert isinstance(events[-1], Finished)
    assert started(events).cache.tier is CacheTier.MEMORY
    box.stopped = True
    assert await asyncio.to_thread(box.served.stop, LIMIT_SECONDS)
    assert not await asyncio.to_thread(box.book.stop, LIMIT_SECONDS)
