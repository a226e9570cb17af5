"""Conversations: the next turn finds what was computed before, and answers as if nothing had happened between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.request import InvalidArgumentError, PromptTooLongError
from autoglmd.errors.session import SessionBusyError
from autoglmd.messages.generation import (
    ChatPrompt,
    Finished,
    FinishReason,
    Message,
    SamplingParams,
    TextPrompt,
    TokenPrompt,
    TokenText,
)
from autoglmd.messages.sessions import CacheMiss, CacheTier, SessionKey
from tests.support.fixture_models import TINY_MODELS
from tests.support.session_box import GREEDY, LIMIT_SECONDS, NO_MEMORY, SEEDED, USUAL, Box, ids_of, started, text_of

TURNS = ("你好", "turn on the light", "and again, 好吗?")


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
    assert (second.cache.tier, second.cache.miss) == (CacheTier.ROW, None)
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
    assert box.gateway.cancel("second", "local")
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
    assert started(events).cache.tier is CacheTier.ROW
    box.stopped = True
    assert await asyncio.to_thread(box.served.stop, LIMIT_SECONDS)
    assert not await asyncio.to_thread(box.book.stop, LIMIT_SECONDS)
