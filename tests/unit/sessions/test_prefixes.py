"""Beginnings that prompts share, in memory and on disk."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglmd.errors.session import SessionError
from autoglmd.host.disk import Disk
from autoglmd.messages.generation import Message
from autoglmd.messages.sessions import PAGE_TOKENS, KvBlock, SessionKey
from autoglmd.sessions import log as session_log
from autoglmd.sessions.beginnings import beginnings_of, levels
from autoglmd.sessions.catalog import entry_of
from autoglmd.sessions.conversation import Conversation, Turn, TurnMark
from autoglmd.sessions.log import Found
from autoglmd.sessions.memory import Memory
from autoglmd.sessions.prefixes import Page, SharedPrefixes, pages_in, pages_of
from tests.support.conversations import KEY, MODEL, NOW, empty, kv_at
from tests.support.session_stores import open_store

IDS = tuple(range(5 * PAGE_TOKENS + 7))


def pages(ids: tuple[int, ...] = IDS, tenant: str = "local") -> tuple[Page, ...]:
    """The pages of some tokens."""
    return pages_of(tenant, MODEL, ids)


def block(start: int, tokens: int = PAGE_TOKENS) -> KvBlock:
    """A block whose data tells where it belongs."""
    return KvBlock(start, tokens, tokens, memoryview(kv_at(3, start, start + tokens)))


def page_blocks(count: int) -> tuple[KvBlock, ...]:
    """The first blocks."""
    return tuple(block(PAGE_TOKENS * number) for number in range(count))


def told(ids: tuple[int, ...] = IDS, answer_start: int = len(IDS) - 2, key: SessionKey = KEY) -> Conversation:
    """A conversation after its first turn, with all keys and values but the last one's."""
    messages = (Message("user", "a"), Message("assistant", "b"))
    marks = (TurnMark(1, answer_start, len(ids), 2),)
    said = empty(key).after(Turn(1, NOW, 0, ids, 0, messages, marks))
    whole = len(ids) // PAGE_TOKENS
    for each in (*page_blocks(whole), block(whole * PAGE_TOKENS, len(ids) - 1 - whole * PAGE_TOKENS)):
        said = said.having(each)
    return said


@given(flips=st.sets(st.integers(0, 3 * PAGE_TOKENS - 1), max_size=2), length=st.integers(0, 3 * PAGE_TOKENS))
def test_pages_are_the_same_as_far_as_the_tokens_are(flips: set[int], length: int) -> None:
    """And no further, wherever else they agree."""
    one = (0,) * (3 * PAGE_TOKENS)
    other = tuple(int(place in flips) for place in range(length))
    for number, (left, right) in enumerate(zip(pages(one), pages(other), strict=False)):
        stop = (number + 1) * PAGE_TOKENS
        assert (left == right) == (left.digest == right.digest) == (one[:stop] == other[:stop])


def test_pages_of_others_are_others() -> None:
    """Another tenant's, another model's, another version's."""
    mine = pages()
    assert len(mine) == 5
    assert set(mine).isdisjoint(pages(tenant="eve"))
    assert set(mine).isdisjoint(pages_of("local", replace(MODEL, version="2"), IDS))
    digests = {page.digest for page in (*mine, *pages(tenant="eve"))}
    assert len(digests) == 10


def test_a_prompt_finds_as_much_of_its_beginning_as_is_known() -> None:
    """One that parts from it in the middle finds what comes before."""
    shared = SharedPrefixes(Memory(1 << 20))
    shared.put(pages(), page_blocks(5))
    assert [each.start for each in shared.find(pages())] == [0, 64, 128, 192, 256]
    parted = (*IDS[:150], 7, *IDS[151:])
    assert len(shared.find(pages(parted))) == 2
    assert shared.find(pages(tenant="eve")) == ()


def test_what_is_known_already_remains() -> None:
    """Whoever has it shares its data with those who come later."""
    shared = SharedPrefixes(Memory(1 << 20))
    first = page_blocks(2)
    shared.put(pages(), first)
    shared.put(pages(), page_blocks(3))
    assert [known is given for known, given in zip(shared.find(pages()), first, strict=False)] == [True, True]


def test_of_a_beginning_the_end_goes_first() -> None:
    """What follows a page that is gone would be of no use."""
    room = sum(len(each.data) + 64 * PAGE_TOKENS for each in page_blocks(4))
    memory = Memory(room)
    shared = SharedPrefixes(memory)
    shared.put(pages(), page_blocks(4))
    memory.put("other", 1, (), 1)
    assert len(shared.find(pages())) == 3


@pytest.mark.parametrize(
    ("answer_start", "number", "count"), [(320, 1, 4), (321, 1, 5), (65, 1, 1), (64, 1, 0), (321, 2, 0), (0, 1, 0)]
)
def test_only_what_was_surely_a_prompt_is_lent(answer_start: int, number: int, count: int) -> None:
    """Not a block of an answer that looks like a page, nor a prompt's last token, nor what nobody knows of."""
    said = told(answer_start=answer_start)
    said = replace(said, marks=(replace(said.marks[0], number=number),))
    assert len(pages_in(said)) == count
    assert len(pages_in(replace(said, marks=()))) == 0


def test_what_was_taken_back_is_not_lent() -> None:
    """A page of which a part was replaced is none."""
    said = told()
    cut = replace(said, blocks=tuple(each.until(100) for each in said.blocks if each.start < 100))
    assert [each.start for each in pages_in(cut)] == [0]


def test_a_beginning_is_found_by_few_lengths() -> None:
    """Powers of two, the longest first; who finds one finds in the file what comes behind it."""
    assert [levels(count) for count in (0, 1, 2, 5, 8)] == [(), (1,), (2, 1), (4, 2, 1), (8, 4, 2, 1)]
    assert sorted(beginnings_of(told())) == [1, 2, 4]
    assert beginnings_of(empty()) == {}


def test_a_session_on_disk_is_found_by_its_beginning(tmp_path: Path) -> None:
    """By this daemon and by the next, in a new catalog as well; only with more than is known."""
    store = open_store(tmp_path)
    assert not store.beginnings.may_be_known(pages()[0])
    store.save(told())
    for leftover in (False, True):
        assert store.beginnings.may_be_known(pages()[0])
        assert not store.beginnings.may_be_known(pages(tenant="eve")[0])
        assert store.beginnings.find(pages(), 0) == page_blocks(5)
        assert store.beginnings.find(pages(), 4) == ()
        assert len(store.beginnings.find(pages(IDS[:200]), 0)) == 3
        assert store.beginnings.find(pages(tenant="eve"), 0) == ()
        if not leftover:
            store.close()
            for path in tmp_path.glob("catalog*"):
                path.unlink()
        store = open_store(tmp_path)
        store.reconcile()


def test_what_came_with_a_file_is_lent_to_nobody(tmp_path: Path) -> None:
    """Whatever it says: not by this daemon, nor by the next with a new catalog. Another model computes its own."""
    store = open_store(tmp_path)
    foreign = replace(told(), is_foreign=True)
    assert pages_in(foreign) == ()
    store.save(foreign)
    found = store.load(KEY, MODEL)
    assert isinstance(found, Found)
    assert found.conversation == foreign
    assert store.beginnings.find(pages(), 0) == ()
    store.catalog.put(entry_of(store.file_of(KEY), foreign, 1, 0), beginnings_of(told()))
    assert store.beginnings.find(pages(), 0) == ()
    store.close()
    for path in tmp_path.glob("catalog*"):
        path.unlink()
    store = open_store(tmp_path)
    store.reconcile()
    assert store.beginnings.find(pages(), 0) == ()
    assert not foreign.of(replace(MODEL, version="next")).is_foreign


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "I/O error"), SessionError("newer")], ids=["disk", "newer"])
def test_a_session_that_cannot_be_read_is_passed_over_for_another(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no other, it is told why."""
    store = open_store(tmp_path)
    store.save(told())
    store.save(replace(told(), key=SessionKey(KEY.tenant, "other")))
    read, asked = session_log.read_pages, []

    def failing(disk: Disk, path: Path, *rest: Any) -> tuple[KvBlock, ...]:
        asked.append(path)
        if len(asked) % 2 or len(asked) > 2:
            raise fault
        return read(disk, path, *rest)

    monkeypatch.setattr(session_log, "read_pages", failing)
    assert store.beginnings.find(pages(), 0) == page_blocks(5)
    with pytest.raises(type(fault)):
        store.beginnings.find(pages(), 0)


def test_a_session_that_went_lends_nothing(tmp_path: Path) -> None:
    """Whether the catalog knows it or not."""
    store = open_store(tmp_path)
    store.save(told())
    (path,) = tmp_path.glob("*/*.session")
    path.unlink()
    assert store.beginnings.find(pages(), 0) == ()
    store.delete(KEY)
    assert store.catalog.beginning_with(pages()[0].digest) == ()


def test_where_one_session_went_another_lends(tmp_path: Path) -> None:
    """One that is as long, or else a shorter one; whichever of them the catalog names first."""
    for gone in "ab":
        store = open_store(tmp_path / gone)
        for name in "ab":
            store.save(told(key=SessionKey("local", name)))
        store.save(told(IDS[:200], 200, SessionKey("local", "short")))
        for name in (gone, "ab".replace(gone, "")):
            store._files.path_of(SessionKey("local", name)).unlink()
            lent = store.beginnings.find(pages(), 0)
            assert len(lent) == (5 if name == gone else 3)


def test_another_session_in_the_place_of_one_that_went_lends_what_is_its_own(tmp_path: Path) -> None:
    """The catalog still tells of the old one: whose the file is, and its tokens, are looked at."""
    store = open_store(tmp_path)
    store.save(told())
    (path,) = tmp_path.glob("*/*.session")
    for key, ids in ((KEY, (*IDS[:100], *IDS[:150])), (SessionKey("eve", "home"), IDS)):
        elsewhere = tmp_path / f"other-{key.tenant}"
        other = open_store(elsewhere)
        other.save(told(ids, 200, key))
        (new,) = elsewhere.glob("*/*.session")
        new.replace(path)
        store = open_store(tmp_path)
        found = store.beginnings.find(pages(), 0)
        assert found == (page_blocks(1) if key == KEY else ())


def test_damaged_keys_and_values_are_not_lent(tmp_path: Path) -> None:
    """What comes before them is."""
    store = open_store(tmp_path)
    store.save(told())
    (path,) = tmp_path.glob("*/*.session")
    content = bytearray(path.read_bytes())
    counts = set()
    for at in range(0, len(content), 97):
        content[at] ^= 1
        path.write_bytes(content)
        found = store.beginnings.find(pages(), 0)
        assert found == page_blocks(len(found))
        counts.add(len(found))
        content[at] ^= 1
    assert {0, 3, 5} <= counts
