"""What is kept in memory: within its bytes, and what is held twice counted once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions.memory import Memory
from autoglmd.sessions.warm import WarmConversations
from tests.support.conversations import KEY, empty, grown


def block(size: int, start: int = 0) -> KvBlock:
    """A block of so many bytes."""
    return KvBlock(start, 1, 1, memoryview(bytes(size)))


def test_the_longest_unused_makes_room() -> None:
    """Finding something is using it."""
    memory = Memory(100)
    for name in "abc":
        memory.put(name, name, (block(30),), 3)
    assert memory.find("a") == "a"
    memory.put("d", "d", (block(20),), 3)
    assert [memory.find(name) for name in "abcd"] == ["a", None, "c", "d"]
    assert memory.held_bytes == 33 + 33 + 23


def test_data_of_several_is_counted_once_and_goes_with_the_last() -> None:
    """A conversation and the pages of its prompt."""
    memory, shared = Memory(100), block(60)
    memory.put("a", 1, (shared,), 5)
    memory.put("b", 2, (shared.until(1), block(10)), 5)
    assert memory.held_bytes == 80
    memory.forget("a")
    assert memory.held_bytes == 75
    memory.forget("b")
    assert memory.held_bytes == 0


def test_one_that_is_larger_than_all_the_room_takes_nobodys() -> None:
    """And what was known under its name before is gone: it is not so any more."""
    memory = Memory(100)
    memory.put("a", 1, (block(30),), 0)
    memory.put("b", 1, (block(30),), 0)
    memory.put("b", 2, (block(101),), 0)
    assert (memory.find("a"), memory.find("b"), memory.held_bytes) == (1, None, 30)


blocks = [block(size) for size in (1, 5, 20, 40)]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abcde"), st.lists(st.sampled_from(range(4)), max_size=4, unique=True), st.booleans())
    )
)
def test_the_bytes_are_those_of_what_is_there(steps: list[tuple[str, list[int], bool]]) -> None:
    """Whatever comes and goes, in whatever order."""
    memory = Memory(70)
    there: dict[str, list[int]] = {}
    for name, chosen, goes in steps:
        if goes:
            memory.forget(name)
        else:
            memory.put(name, name, [replace(blocks[each], tokens=1) for each in chosen], 2)
            there[name] = chosen
        there = {each: held for each, held in there.items() if memory.find(each) is not None}
        distinct = {each for held in there.values() for each in held}
        assert memory.held_bytes == 2 * len(there) + sum(len(bytes(blocks[each].data)) for each in distinct) <= 70


def test_conversations_are_kept_by_their_keys() -> None:
    """A later state replaces an earlier one."""
    warm = WarmConversations(Memory(1 << 20))
    first = grown(empty(), "one")
    warm.put(first)
    warm.put(grown(first, "two"))
    found = warm.find(KEY)
    assert found is not None
    assert found.turns == 2
    warm.forget(KEY)
    assert warm.find(KEY) is None
