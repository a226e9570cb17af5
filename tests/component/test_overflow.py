"""Conversations that outgrow the context: refused with the counts, or shortened and told of."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.request import InvalidArgumentError, PromptTooLongError
from autoglmd.messages.generation import ChatPrompt, Finished, FinishReason, Message, Overflow, TextPrompt
from autoglmd.messages.sessions import CacheMiss, CacheTier, SessionKey
from autoglmd.sessions.conversation import Conversation
from tests.support.session_box import NO_MEMORY, USUAL, Box, ids_of, started, text_of

Open = Callable[..., Box]
KEY = SessionKey("local", "s")
DROP = Overflow.DROP_OLDEST
SYSTEM = Message("system", "You are a lamp. " * 3)
CONTEXT = 512


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


def question(number: int) -> Message:
    """Something else each time."""
    return Message("user", f"question {number}, 好吗? " * 2)


def told(box: Box) -> Conversation:
    """What the session says."""
    known = box.book.find(KEY)
    assert known is not None
    return known


async def until_dropped(box: Box) -> int:
    """Talk until the context overflows for the first time; the number of that turn."""
    await box.ask(ChatPrompt((SYSTEM, question(0))), "s", overflow=DROP)
    for number in count(1):
        events = await box.ask(ChatPrompt((question(number),)), "s", overflow=DROP)
        if started(events).dropped_messages:
            return number
    raise AssertionError("unreachable")


@pytest.mark.parametrize("name", ["tiny-int8", "tiny-fp32", "tiny-per-token"])
async def test_a_conversation_of_many_turns_never_fails_and_answers_from_what_is_left(
    open_box: Open, name: str
) -> None:
    """Byte for byte as a fresh session that is told only that, through restarts, from memory and from disk."""
    fresh = open_box(name, where="fresh")
    box, drops = open_box(name), 0
    await box.ask(ChatPrompt((SYSTEM, question(0))), "s", overflow=DROP)
    # What a fresh session is told at first, and then turn by turn.
    life, first = "0", (*told(box).messages[:-1],)
    await fresh.ask(ChatPrompt(first), life)
    for number in range(1, 40):
        if number % 9 == 0:
            await box.stop()
            box = open_box(name, NO_MEMORY if number % 2 else USUAL)
        new: tuple[Message, ...] = (question(number),)
        events = await box.ask(ChatPrompt(new), "s", overflow=DROP)
        await box.saved()
        head = started(events)
        if head.dropped_messages:
            drops, life = drops + 1, str(number)
            found = found_in(box)
            new = found.messages[:-1]
            assert head.cache.miss is CacheMiss.CONTEXT_MOVED
            assert new[0] == SYSTEM
            assert new[1].role == "user"
            assert head.prompt_tokens <= CONTEXT - CONTEXT // 4
        expected = await fresh.ask(ChatPrompt(new), life)
        assert ids_of(events) == ids_of(expected)
        assert text_of(events) == text_of(expected)
        assert head.prompt_tokens == started(expected).prompt_tokens
    assert drops >= 3


def found_in(box: Box) -> Conversation:
    """The session from memory or, where that is too small, from disk."""
    found = box.book.describe(KEY)
    assert found is not None
    return found[1]


async def test_what_the_system_message_cost_is_not_paid_again(open_box: Open) -> None:
    """Its keys and values are at the places where they were."""
    box = open_box()
    await box.ask(ChatPrompt((SYSTEM, question(0))), "s", overflow=DROP)
    system = len(box.served.rules.tokenizer.encode(SYSTEM.content, add_prefix=False))
    while not (head := started(await box.ask(ChatPrompt((question(1),)), "s", overflow=DROP))).dropped_messages:
        pass
    assert head.cache.tier in (CacheTier.MEMORY, CacheTier.ROW)
    assert system <= head.cache.cached_tokens < system + 60


async def test_the_session_is_what_is_left(open_box: Open) -> None:
    """Its messages, tokens and marks, in memory and after a restart; turns go on being counted."""
    box = open_box()
    last = await until_dropped(box)
    known = told(box)
    assert known.turns == last + 1
    assert known.marks[-1].number == last + 1
    assert known.marks[-1].end == len(known.ids)
    assert known.marks[-1].messages == len(known.messages)
    assert all(mark.end <= len(known.ids) for mark in known.marks)
    # The turns that are left are marked where they are now, under the numbers that they had.
    assert [mark.number for mark in known.marks] == list(range(known.marks[0].number, last + 2))
    assert len(known.marks) == sum(each.role == "assistant" for each in known.messages)
    for mark in known.marks:
        answer = known.messages[mark.messages - 1]
        assert answer.role == "assistant"
        decode = box.served.rules.tokenizer.decode
        assert decode(known.ids[: mark.end]).endswith(answer.content)
        assert decode(known.ids[mark.answer_start : mark.end]) in answer.content
    assert known.messages[-2] == question(last)
    assert question(0) not in known.messages
    await box.stop()
    again = open_box(sessions=NO_MEMORY)
    found = again.book._store.load(KEY, known.model)
    assert not isinstance(found, CacheMiss)
    assert found.conversation == known
    assert not found.damaged


async def test_who_takes_up_an_answer_with_less_before_it_is_told_so_and_loses_no_place(open_box: Open) -> None:
    """By the next daemon as well: how many messages went, and where the turns lie that are left."""
    box = open_box()
    last = await until_dropped(box)
    whole = await box.ask(ChatPrompt((question(last + 1),)), "s", overflow=DROP, max_tokens=240)
    assert started(whole).dropped_messages > 0
    known = told(box)
    assert len(known.marks) > 1
    again = await box.resume("s")
    assert told(box).marks == known.marks
    await box.stop()
    box = open_box()
    for events in (again, await box.resume("s")):
        assert ids_of(events) == ids_of(whole)
        assert started(events).dropped_messages == started(whole).dropped_messages
        assert started(events).cache.miss is CacheMiss.CONTEXT_MOVED
    assert told(box).marks == known.marks


async def test_the_next_turn_costs_its_own_tokens_again(open_box: Open) -> None:
    """A quarter of the context is free, so that not each turn drops some."""
    box = open_box()
    last = await until_dropped(box)
    events = await box.ask(ChatPrompt((question(last + 1),)), "s", overflow=DROP)
    assert started(events).dropped_messages == 0
    assert started(events).cache.miss is None
    assert started(events).prompt_tokens - started(events).cache.cached_tokens < 60


async def test_as_much_is_left_free_as_the_answer_wants(open_box: Open) -> None:
    """Though it be more than a quarter."""
    box = open_box()
    for number in range(6):
        await box.ask(ChatPrompt((question(number),)), "s", overflow=DROP)
    events = await box.ask(ChatPrompt((question(9),)), "s", overflow=DROP, max_tokens=400)
    assert started(events).dropped_messages > 0
    assert started(events).prompt_tokens <= CONTEXT - 400
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.output_tokens == 400


async def test_without_the_option_it_is_refused_with_the_counts_and_the_remedy(open_box: Open) -> None:
    """Nothing is dropped in silence; the same session goes on with the option."""
    box = open_box()

    async def talk() -> None:
        for number in range(40):
            await box.ask(ChatPrompt((SYSTEM, question(number))), "s", max_tokens=20)

    with pytest.raises(
        PromptTooLongError, match=r"context is 512 tokens.*OVERFLOW_DROP_OLDEST; `--drop-oldest`"
    ) as refusal:
        await talk()
    assert refusal.value.prompt_tokens + 20 > CONTEXT
    known = told(box)
    events = await box.ask(ChatPrompt((question(99),)), "s", overflow=DROP, max_tokens=20)
    assert started(events).dropped_messages > 0
    assert told(box).turns == known.turns + 1


async def test_a_newest_message_that_does_not_fit_alone_is_refused_and_changes_nothing(open_box: Open) -> None:
    """With the counts of what was left; the turns before it are still there."""
    box = open_box()
    await box.ask("hello", "s", overflow=DROP)
    known = told(box)
    with pytest.raises(PromptTooLongError, match="the context is 512 tokens") as refusal:
        await box.ask("too long " * 400, "s", overflow=DROP)
    assert refusal.value.prompt_tokens > CONTEXT
    assert "OVERFLOW" not in refusal.value.message
    assert told(box) == known


async def test_a_chat_without_a_session_may_be_shortened_as_well(open_box: Open) -> None:
    """Its answer is that to what is left."""
    box = open_box()
    chat = [SYSTEM]
    for number in range(30):
        chat += [question(number), Message("assistant", f"answer {number}")]
    chat.append(question(30))
    with pytest.raises(PromptTooLongError, match="OVERFLOW_DROP_OLDEST"):
        await box.ask(ChatPrompt(tuple(chat)))
    events = await box.ask(ChatPrompt(tuple(chat)), overflow=DROP)
    dropped = started(events).dropped_messages
    assert dropped > 0
    assert dropped % 2 == 0
    left = (SYSTEM, *chat[1 + dropped :])
    assert ids_of(events) == ids_of(await box.ask(ChatPrompt(left)))


async def test_an_unset_length_leaves_the_answer_some_room(open_box: Open) -> None:
    """An answer of one word at the context's end is none."""
    box = open_box()
    for number in range(30):
        events = await box.ask(ChatPrompt((question(number),)), "s", overflow=DROP, max_tokens=None)
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is FinishReason.LENGTH
        assert events[-1].usage.output_tokens >= CONTEXT // 4


async def test_an_answer_that_no_text_may_say_goes_with_the_turns_that_are_dropped(open_box: Open) -> None:
    """It would change who speaks, so it is not told again; the conversation goes on without it."""
    box = open_box()
    special = sorted(box.served.rules.tokenizer.special)[0]
    await until_dropped(box)
    known = told(box)
    messages = list(known.messages)
    place = next(index for index, each in enumerate(messages) if each.role == "assistant" and index > 3)
    messages[place] = Message("assistant", f"so {special} it is")
    box.book.commit(replace(known, messages=tuple(messages)))
    for number in range(100, 130):
        events = await box.ask(ChatPrompt((question(number),)), "s", overflow=DROP)
        if started(events).dropped_messages:
            break
    assert not any(special in each.content for each in told(box).messages)


async def test_a_session_of_plain_prompts_is_refused_as_before(open_box: Open) -> None:
    """It has no turns; see the edge for the option itself."""
    box = open_box()
    await box.ask(TextPrompt("hello"), "s")
    with pytest.raises(InvalidArgumentError, match="session of plain prompts"):
        await box.ask("more", "s", overflow=DROP)
