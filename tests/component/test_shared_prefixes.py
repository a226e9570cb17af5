"""Prompts that begin alike: computed once per tenant, and answered as if each were the first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from autoglmd.config.rooms import SessionsConfig
from autoglmd.messages.generation import (
    ChatPrompt,
    Message,
    Prompt,
    SamplingParams,
    StreamEvent,
    TokenLogprobs,
    TokenPrompt,
    TokenText,
)
from autoglmd.messages.sessions import PAGE_TOKENS, CacheMiss, CacheTier, SessionKey
from tests.support.cut_sessions import desk_of, key_of, pieces_of
from tests.support.fixture_models import TINY_MODELS, VOCABULARY
from tests.support.session_box import NO_MEMORY, USUAL, Box, ids_of, started, text_of

GREEDY = SamplingParams(temperature=0.0, logprobs=2)
SEEDED = SamplingParams(temperature=1.3, seed=5, logprobs=2)
NOT_SHARED = SessionsConfig(share_prefixes=False)
SYSTEM = Message("system", "You switch lights, 开灯. " * 12)
Open = Callable[..., Box]
Answer = tuple[tuple[int, ...], tuple[TokenLogprobs, ...]]


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


def answer_of(events: list[StreamEvent]) -> Answer:
    """What was drawn, and how probable it was, to the last bit."""
    told = [event for event in events if isinstance(event, TokenText)]
    return ids_of(events), tuple(each for event in told for each in event.logprobs)


def noise(count: int, seed: int) -> tuple[int, ...]:
    """Tokens that are not special."""
    return tuple(np.random.default_rng(seed).integers(6, VOCABULARY, count).tolist())


def cached(events: list[StreamEvent]) -> int:
    """Tokens that were not computed."""
    return started(events).cache.cached_tokens


def asks(text: str) -> ChatPrompt:
    """A chat with the long beginning that others have as well."""
    return ChatPrompt((SYSTEM, Message("user", text)))


BEGINNING = noise(200, 1)
PROMPTS = (
    TokenPrompt(BEGINNING),
    TokenPrompt((*BEGINNING, *noise(30, 2))),
    TokenPrompt((*BEGINNING[:130], *noise(90, 3))),
    # Each a token more or less than pages.
    TokenPrompt(BEGINNING[:64]),
    TokenPrompt(BEGINNING[:65]),
    TokenPrompt(BEGINNING[:128]),
    TokenPrompt(BEGINNING[:129]),
    TokenPrompt((*BEGINNING[:128], *noise(1, 4))),
    TokenPrompt((*BEGINNING[:191], *noise(200, 5))),
)
PAGES = (0, 3, 2, 0, 1, 1, 2, 2, 2)
"""How many pages of each the ones before it have computed."""


async def alone(open_box: Open, name: str, prompt: Prompt, sampling: SamplingParams) -> Answer:
    """The answer of a daemon that was never asked anything else."""
    box = open_box(name, where=f"alone-{hash((prompt, sampling))}")
    answer = answer_of(await box.ask(prompt, sampling=sampling))
    await box.stop()
    return answer


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("name", TINY_MODELS)
async def test_what_others_computed_changes_no_bit(open_box: Open, name: str, sampling: SamplingParams) -> None:
    """Tokens and log probabilities are those of a daemon that computed everything itself."""
    box, fresh = open_box(name), open_box(name, NOT_SHARED, "fresh")
    for prompt, pages in zip(PROMPTS, PAGES, strict=True):
        events = await box.ask(prompt, sampling=sampling)
        assert cached(events) == pages * PAGE_TOKENS
        other = await fresh.ask(prompt, sampling=sampling)
        assert cached(other) == 0
        assert answer_of(events) == answer_of(other)
    assert answer_of(events) == await alone(open_box, name, PROMPTS[-1], sampling)


@pytest.mark.parametrize("name", TINY_MODELS)
async def test_neighbours_share_and_answer_as_alone(open_box: Open, name: str) -> None:
    """Prompts that come at once, in few rows, with others among them."""
    box, fresh = open_box(name, rows=3), open_box(name, NOT_SHARED, "fresh")
    expected = [answer_of(await fresh.ask(prompt, sampling=SEEDED)) for prompt in PROMPTS]
    for _ in range(2):
        streams = await asyncio.gather(*(box.ask(prompt, sampling=SEEDED) for prompt in PROMPTS))
        assert [answer_of(events) for events in streams] == expected
    assert any(cached(events) for events in streams)


async def test_nothing_is_shared_between_tenants(open_box: Open) -> None:
    """A, B, A again: B computes all of it, and A finds what A has computed; one whom nobody knows shares nothing."""
    box = open_box()
    prompt = PROMPTS[1]
    first = await box.ask(prompt, tenant="certificate:a")
    other = await box.ask(prompt, tenant="certificate:b")
    unknown = await box.ask(prompt, tenant=None)
    again = await box.ask(prompt, tenant="certificate:a")
    assert [cached(events) for events in (first, other, unknown, again)] == [0, 0, 0, 3 * PAGE_TOKENS]
    assert len({ids_of(events) for events in (first, other, unknown, again)}) == 1
    session = SessionKey("certificate:b", "s")
    stranger = [e async for e in box.gateway.generate(replace(box.request(prompt), session=session, tenant="x"))]
    assert cached(stranger) == 0


@pytest.mark.parametrize("name", TINY_MODELS)
async def test_a_session_begins_with_what_others_computed_and_goes_on_as_if_it_had_not(
    open_box: Open, name: str
) -> None:
    """Its turns are those of a session on a daemon of its own, also after a restart; its file holds all it needs."""
    quiet = open_box(name, NOT_SHARED, "quiet")
    expected = [answer_of(await quiet.ask(asks("on"), "s", sampling=SEEDED))]
    expected += [answer_of(await quiet.ask(text, "s", sampling=SEEDED)) for text in ("off", "and on")]
    box = open_box(name)
    await box.ask(asks("something else"))
    first = await box.ask(asks("on"), "s", sampling=SEEDED)
    assert (started(first).cache.miss, cached(first) // PAGE_TOKENS > 1) == (CacheMiss.NEW_SESSION, True)
    second = await box.ask("off", "s", sampling=SEEDED)
    assert cached(second) == started(first).prompt_tokens + 11
    await box.stop()
    third = await open_box(name).ask("and on", "s", sampling=SEEDED)
    assert started(third).cache.tier is CacheTier.DISK
    assert cached(third) == started(second).prompt_tokens + 11
    assert [answer_of(events) for events in (first, second, third)] == expected


@pytest.mark.parametrize("name", TINY_MODELS)
async def test_a_session_on_disk_lends_its_first_prompt_and_not_its_answer(open_box: Open, name: str) -> None:
    """After a restart; a request without a session that goes on like it finds the prompt's pages alone."""
    box = open_box(name)
    first = await box.ask(asks("on"), "s", max_tokens=80)
    told = box.book.find(SessionKey("local", "s"))
    assert told is not None
    await box.stop()
    box, fresh = open_box(name), open_box(name, NOT_SHARED, "fresh")
    await box.saved()
    history = TokenPrompt((*told.ids, *noise(5, 9)))
    events = await box.ask(history, sampling=SEEDED)
    assert started(events).cache.tier is CacheTier.DISK
    assert cached(events) == (started(first).prompt_tokens - 1) // PAGE_TOKENS * PAGE_TOKENS
    assert answer_of(events) == answer_of(await fresh.ask(history, sampling=SEEDED))
    # Computed as a prompt by now, the answer's place as well.
    again = await box.ask(history, sampling=SEEDED)
    assert cached(again) == (len(history.ids) - 1) // PAGE_TOKENS * PAGE_TOKENS
    assert answer_of(again) == answer_of(events)


async def test_an_imported_session_lends_nothing(open_box: Open) -> None:
    """Whoever wrote the file could have written any keys and values: in memory, on disk, and when it goes on."""
    far, box = open_box(where="far"), open_box()
    await far.ask(asks("on"), "s")
    file = b"".join([piece async for piece in desk_of(far).exported(key_of("s"))])
    await desk_of(box).imported(key_of("s"), pieces_of(file))
    await desk_of(box).fork(key_of("s"), "fork", None)
    assert cached(await box.ask("off", "s")) > 0
    assert cached(await box.ask(asks("again"), "new")) == 0
    await box.stop()
    box = open_box()
    await desk_of(box).delete(key_of("new"))
    assert cached(await box.ask("more", "fork")) > 0
    assert cached(await box.ask(asks("again"))) == 0


async def test_another_tenants_session_on_disk_lends_nothing(open_box: Open) -> None:
    """Nor one of the same name."""
    box = open_box()
    await box.ask(asks("on"), "s")
    await box.stop()
    box = open_box()
    await box.saved()
    assert cached(await box.ask(asks("on"), tenant="certificate:eve")) == 0
    assert cached(await box.ask(asks("on"))) > 0


async def test_a_new_session_finds_an_old_ones_beginning_on_disk(open_box: Open) -> None:
    """Although there is no memory to keep it in."""
    box = open_box(sessions=NO_MEMORY)
    await box.ask(asks("on"), "one")
    await box.saved()
    events = await box.ask(asks("on"), "two")
    assert (started(events).cache.tier, started(events).cache.miss) == (CacheTier.DISK, CacheMiss.NEW_SESSION)
    assert text_of(events) == text_of(await open_box(sessions=NOT_SHARED, where="fresh").ask(asks("on")))


async def test_a_beginning_whose_file_has_gone_or_is_damaged_is_computed(open_box: Open, tmp_path: Path) -> None:
    """The catalog may know more than there is."""
    box = open_box(sessions=NO_MEMORY)
    expected = await box.ask(asks("on"), "s")
    await box.saved()
    (path,) = (tmp_path / "box" / "sessions").glob("*/*.session")
    content = path.read_bytes()
    for spoilt in (content[: len(content) // 2], content[:40], b"", bytes(len(content)), content[::-1]):
        path.write_bytes(spoilt)
        assert ids_of(await box.ask(asks("on"))) == ids_of(expected)
    path.unlink()
    events = await box.ask(asks("on"))
    assert (cached(events), ids_of(events)) == (0, ids_of(expected))


async def test_a_repeated_prompt_is_found_in_its_row(open_box: Open) -> None:
    """Where nobody needed the row meanwhile; else in memory."""
    box = open_box()
    await box.ask(PROMPTS[0])
    assert started(await box.ask(PROMPTS[1])).cache.tier is CacheTier.ROW
    await box.ask(TokenPrompt(noise(20, 8)))
    assert started(await box.ask(PROMPTS[1])).cache.tier is CacheTier.MEMORY


async def test_what_is_kept_of_prompts_is_no_session(open_box: Open, tmp_path: Path) -> None:
    """Nobody's list shows it, and no disk has it."""
    box = open_box()
    for prompt in PROMPTS:
        await box.ask(prompt)
    await box.saved()
    assert box.book.sessions("local") == ()
    assert list((tmp_path / "box" / "sessions").glob("*/*")) == []


async def test_memory_stays_within_its_bound_and_answers_as_they_are(open_box: Open) -> None:
    """The longest unused beginnings go, and are computed again."""
    one_page = 20_000
    box = open_box(sessions=SessionsConfig(memory_bytes=3 * one_page))
    fresh = open_box(sessions=NOT_SHARED, where="fresh")
    for seed in range(6):
        prompt = TokenPrompt((*BEGINNING[:70], *noise(150, 10 + seed % 3)))
        assert answer_of(await box.ask(prompt)) == answer_of(await fresh.ask(prompt))
        assert 0 < box.book.stats.memory_bytes <= 3 * one_page
    assert cached(await box.ask(TokenPrompt(BEGINNING))) <= 3 * PAGE_TOKENS


async def test_nothing_is_shared_where_that_is_configured(open_box: Open) -> None:
    """Each prompt is computed whole, and nothing is kept of it."""
    box = open_box(sessions=NOT_SHARED)
    for _ in range(2):
        assert cached(await box.ask(PROMPTS[0])) == 0
    assert box.book.stats.memory_bytes == 0
