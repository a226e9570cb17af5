"""Sessions that were forked and rewound answer as those that were told only so far and never further."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import SessionExistsError, SessionNotFoundError
from autoglmd.messages.generation import ChatPrompt, Message, SamplingParams, TextPrompt
from autoglmd.messages.sessions import CacheMiss, Place, SessionKey
from autoglmd.pipeline.session_moves import SessionMoves
from tests.support.cut_sessions import LONG, desk_of, key_of, substance, told_of
from tests.support.session_box import GREEDY, NO_MEMORY, SEEDED, USUAL, Box, ids_of, started, text_of

TURNS = ("你好", "turn on the light", "and again, 好吗?")
OTHER = "something else"
MODELS = ["tiny-fp32", "tiny-int8"]

Open = Callable[..., Box]


@pytest_asyncio.fixture(name="open_box")
async def make_boxes(tmp_path: Path) -> AsyncIterator[Open]:
    """Boxes over one folder, unless another is named."""
    boxes: list[Box] = []

    def make(name: str = "tiny-int8", sessions: SessionsConfig = USUAL, where: str = "box") -> Box:
        boxes.append(Box(tmp_path / where, name, sessions))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.stop()


async def tell(box: Box, session: str, texts: tuple[str, ...], **changes: object) -> None:
    """A turn for each text."""
    for text in texts:
        await box.ask(text, session, **changes)


async def again(open_box: Open, box: Box, name: str, tier: str) -> Box:
    """The box in which the session is found in that tier."""
    if tier != "restart":
        await box.saved()
        return box
    await box.stop()
    return open_box(name)


@pytest.mark.parametrize("tier", ["warm", "cold", "restart"])
@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", MODELS)
async def test_a_cut_at_a_turns_end_is_a_session_never_told_further(
    open_box: Open, name: str, sampling: SamplingParams, tier: str
) -> None:
    """Rewound or forked: text, tokens, keys and values, and the next answer."""
    quiet = open_box(name, where="quiet")
    await tell(quiet, "s", TURNS[:2], sampling=sampling)
    expected = substance(told_of(quiet))
    answer = ids_of(await quiet.ask(OTHER, "s", sampling=sampling, max_tokens=LONG))
    box = open_box(name, NO_MEMORY if tier == "cold" else USUAL)
    await tell(box, "s", TURNS, sampling=sampling)
    await desk_of(box).fork(key_of("s"), "fork", Place(turn=2))
    await desk_of(box).rewind(key_of("s"), None)
    box = await again(open_box, box, name, tier)
    for session in ("s", "fork"):
        assert substance(told_of(box, session)) == expected
        assert ids_of(await box.ask(OTHER, session, sampling=sampling, max_tokens=LONG)) == answer


@pytest.mark.parametrize("tier", ["warm", "cold", "restart"])
@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", MODELS)
async def test_a_cut_inside_an_answer_is_one_that_its_limit_ended_there(
    open_box: Open, name: str, sampling: SamplingParams, tier: str
) -> None:
    """At each place that does not cut a character, of an answer in the middle of the session."""
    box, quiet = open_box(name, NO_MEMORY if tier == "cold" else USUAL), open_box(name, where="quiet")
    await tell(box, "s", TURNS, sampling=sampling)
    begin = told_of(box).marks[1].answer_start
    cut = []
    for count in range(1, 12):
        # Some of them are inside a character, which is refused.
        with contextlib.suppress(InvalidArgumentError):
            await desk_of(box).fork(key_of("s"), str(count), Place(token=begin + count))
            cut.append(count)
    assert len(cut) > 3
    box = await again(open_box, box, name, tier)
    for count in cut[:: len(cut) // 3]:
        await tell(quiet, str(count), TURNS[:1], sampling=sampling)
        await tell(quiet, str(count), TURNS[1:2], sampling=sampling, max_tokens=count)
        assert substance(told_of(box, str(count))) == substance(told_of(quiet, str(count)))
        answers = [
            ids_of(await each.ask(OTHER, str(count), sampling=sampling, max_tokens=LONG)) for each in (box, quiet)
        ]
        assert answers[0] == answers[1]


async def test_an_answer_that_ended_by_itself_keeps_its_last_keys_and_values(open_box: Open) -> None:
    """They came of the decode that gave the end, and not of the next turn's prefill."""
    quiet, box = open_box(where="quiet"), open_box()
    stop = text_of(await quiet.ask(TURNS[0]))[4:6]
    for each in (quiet, box):
        await each.ask(TURNS[0], "s", stop=(stop,))
    before = told_of(quiet)
    assert before.kv_tokens == len(before.ids)
    await tell(box, "s", TURNS[1:])
    await desk_of(box).rewind(key_of("s"), Place(turn=1))
    assert substance(told_of(box)) == substance(before)
    await box.stop()
    assert substance(told_of(open_box())) == substance(before)


async def test_a_session_of_plain_prompts_is_cut_as_well(open_box: Open) -> None:
    """Between its parts, and inside a completion."""
    quiet, box = open_box("tiny-fp32", where="quiet"), open_box("tiny-fp32")
    for text in ("hello", " and more"):
        await box.ask(TextPrompt(text), "s")
    await quiet.ask(TextPrompt("hello"), "s")
    await desk_of(box).fork(key_of("s"), "turn", Place(turn=1))
    assert substance(told_of(box, "turn")) == substance(told_of(quiet))
    begin = told_of(box).marks[0].answer_start
    for count in range(1, 12):
        try:
            await desk_of(box).fork(key_of("s"), str(count), Place(token=begin + count))
        except InvalidArgumentError:
            continue
        await quiet.ask(TextPrompt("hello"), str(count), max_tokens=count)
        assert substance(told_of(box, str(count))) == substance(told_of(quiet, str(count)))


async def test_a_fork_leaves_its_origin_as_it_was(open_box: Open) -> None:
    """Both go on, and neither hears of the other; in memory they share what they have in common."""
    box = open_box()
    await tell(box, "s", TURNS[:2])
    before = told_of(box)
    info = await desk_of(box).fork(key_of("s"), "fork", None)
    assert (info.session_id, info.turns, info.tokens, info.cached_tokens) == (
        "fork",
        2,
        len(before.ids),
        before.kv_tokens,
    )
    assert told_of(box) == before
    assert [a.data is b.data for a, b in zip(told_of(box, "fork").blocks, before.blocks, strict=True)] == [True, True]
    await tell(box, "fork", ("只有 fork",))
    assert told_of(box) == before
    events = await box.ask(TURNS[2], "s")
    assert started(events).cache.miss is None


async def test_a_fork_takes_nobodys_name(open_box: Open) -> None:
    """Whether the other is in memory or on disk; not even its own."""
    box = open_box(sessions=NO_MEMORY)
    await tell(box, "s", TURNS[:1])
    await tell(box, "other", TURNS[:1])
    await box.saved()
    before = told_of(box, "other")
    for name in ("other", "s"):
        with pytest.raises(SessionExistsError, match="already"):
            await desk_of(box).fork(key_of("s"), name, None)
    assert told_of(box, "other") == before
    with pytest.raises(SessionNotFoundError):
        await desk_of(box).fork(key_of("nobody"), "new", None)


async def test_forks_of_each_other_wait_for_nobody_for_ever(open_box: Open) -> None:
    """Leases are taken in one order, whoever asks; answers that are being given are waited for."""
    box = open_box()
    desk = desk_of(box)
    await tell(box, "a", TURNS[:1])
    await tell(box, "b", TURNS[:1])
    running = [asyncio.create_task(box.ask("more", session, max_tokens=60)) for session in ("a", "b")]
    forks = [desk.fork(key_of(one), other, None) for one, other in (("a", "b"), ("b", "a")) * 5]
    outcomes = await asyncio.gather(*forks, return_exceptions=True)
    assert all(isinstance(each, SessionExistsError) for each in outcomes)
    await asyncio.gather(*running)
    assert not box.book.leases.is_taken(key_of("a"))


async def test_nothing_ends_inside_a_prompt(open_box: Open) -> None:
    """The nearest places are named, and nothing has changed."""
    box = open_box()
    await tell(box, "s", TURNS[:2])
    before = told_of(box)
    first, second = before.marks
    for place in (first.end + 1, second.answer_start):
        with pytest.raises(InvalidArgumentError, match=f"{first.end} and {second.answer_start + 1}"):
            await desk_of(box).rewind(key_of("s"), Place(token=place))
    for place in (-1, len(before.ids) + 1):
        with pytest.raises(InvalidArgumentError, match=f"0 to {len(before.ids)}"):
            await desk_of(box).rewind(key_of("s"), Place(token=place))
    for number in (-1, 3):
        with pytest.raises(InvalidArgumentError, match="0 to 2"):
            await desk_of(box).rewind(key_of("s"), Place(turn=number))
    assert told_of(box) == before


async def test_a_session_rewound_to_nothing_is_empty_and_begins_again(open_box: Open) -> None:
    """Its name stays, also over a restart, and nothing of it on disk; the next answer is a first one's."""
    box = open_box()
    first = ids_of(await box.ask(TURNS[0], "new"))
    await tell(box, "s", TURNS)
    file = box.book._store._files.path_of(key_of("s"))
    await box.saved()
    assert TURNS[1].encode() in file.read_bytes()
    info = await desk_of(box).rewind(key_of("s"), Place(turn=0))
    assert (info.turns, info.tokens, info.cached_tokens) == (0, 0, 0)
    assert TURNS[1].encode() not in file.read_bytes()
    with pytest.raises(InvalidArgumentError, match="no turn that could be taken back"):
        await desk_of(box).rewind(key_of("s"), None)
    await box.stop()
    box = open_box()
    assert [each.turns for each in box.book.sessions("local") if each.session_id == "s"] == [0]
    assert ids_of(await box.ask(TURNS[0], "s")) == first


async def test_a_session_rewound_to_nothing_is_another_one_of_its_name(open_box: Open) -> None:
    """So that its file is written anew, also where a disk takes it with the next turn only."""
    box = open_box()
    await tell(box, "s", TURNS[:1])
    await box.saved()
    begun = told_of(box).created
    rewound = SessionMoves(box.book, lambda: begun + 5).rewind(key_of("s"), Place(turn=0), {})
    assert rewound.created == begun + 5


async def test_an_answer_is_cut_by_its_own_model_alone(open_box: Open) -> None:
    """Where that is not served any more its text cannot be told; at a turn's end it need not be."""
    box = open_box("tiny-fp32")
    await tell(box, "s", TURNS[:2])
    mark = told_of(box).marks[0]
    desk = desk_of(box)
    desk._speakers = dict  # type: ignore[method-assign,assignment]
    with pytest.raises(InvalidArgumentError, match=f"not served here.*turn's end, {mark.end}"):
        await desk.rewind(key_of("s"), Place(token=mark.answer_start + 2))
    await desk.rewind(key_of("s"), Place(token=mark.end))
    assert told_of(box).messages[-1].role == "assistant"


async def test_how_a_session_ended_is_forgotten(open_box: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody can find what is there instead."""
    box = open_box()
    await tell(box, "s", TURNS[:2])
    told: list[tuple[str, bool]] = []
    forget = box.book.forget_answer

    def noted(key: SessionKey) -> None:
        told.append((key.session_id, box.book.find(key) is not None))
        forget(key)

    monkeypatch.setattr(box.book, "forget_answer", noted)
    await desk_of(box).fork(key_of("s"), "fork", None)
    await desk_of(box).rewind(key_of("s"), None)
    assert told == [("fork", False), ("s", True)]


async def test_what_a_session_says_is_told_with_the_places_of_its_turns(open_box: Open) -> None:
    """Where one may cut it, and how much of it is cached."""
    box = open_box()
    await tell(box, "s", TURNS[:2])
    await box.saved()
    info, messages, turns = await desk_of(box).one(key_of("s"))
    assert messages[2] == Message("user", TURNS[1])
    assert [(turn.number, turn.messages) for turn in turns] == [(1, 2), (2, 4)]
    assert turns[1].end == info.tokens == info.cached_tokens + 1


async def test_turns_whose_places_nobody_knows_are_cut_by_their_text(open_box: Open) -> None:
    """As in a file of before: it goes on, and says that nothing was cached."""
    box = open_box()
    await tell(box, "s", TURNS)
    box.book.commit(replace(told_of(box), marks=()))
    await desk_of(box).rewind(key_of("s"), Place(turn=1))
    messages = (*told_of(box).messages, Message("user", OTHER))
    events = await box.ask(OTHER, "s")
    assert (started(events).cache.cached_tokens, started(events).cache.miss) == (0, CacheMiss.NOT_KEPT)
    assert ids_of(events) == ids_of(await box.ask(ChatPrompt(messages)))
