"""The corpus says what it should, and says the same each time."""

import json

import pytest

from models.glm_small.corpus import Corpus
from models.glm_small.grammar_file import LANGUAGES, Language, attributes, devices, rooms

_KEY_ORDER = ("device", "room", "action", "attribute")
_CATEGORIES = ("command", "two commands", "delayed", "scene", "implied", "about", "decline")


def test_the_same_seed_gives_the_same_corpus() -> None:
    """A corpus is a function of seed and split."""
    first, second = Corpus(5), Corpus(5)
    assert [first.conversation(2) for _ in range(50)] == [second.conversation(2) for _ in range(50)]


def test_other_seeds_give_other_corpora() -> None:
    """Two pools of batches do not repeat each other."""
    first, second = Corpus("5/1"), Corpus("5/2")
    assert [first.turn() for _ in range(50)] != [second.turn() for _ in range(50)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_are_answered_with_compact_json_in_one_key_order(language: Language) -> None:
    """Device, room, action and attribute come first and in this order; there are no spaces."""
    corpus = Corpus(6)
    for _ in range(300):
        answer = corpus.turn(language, "command").answer
        call = json.loads(answer)
        assert answer == json.dumps(call, ensure_ascii=False, separators=(",", ":"))
        known = [key for key in call if key in _KEY_ORDER]
        assert known == sorted(known, key=_KEY_ORDER.index) == list(call)[: len(known)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_name_known_devices_rooms_and_values_in_range(language: Language) -> None:
    """No answer teaches a call that no box understands."""
    corpus = Corpus(7)
    for _ in range(300):
        call = json.loads(corpus.turn(language, "command").answer)
        device = devices()[call["device"]]
        assert call.get("room", "all") in rooms()
        for key in device.settable:
            low, high = device.ranges.get(key, attributes()[key].range)
            value = call.get(key)
            assert not isinstance(value, int) or low <= value <= high


def test_two_commands_are_answered_with_an_array() -> None:
    """A sentence with two commands gives two calls, in the order in which they were said."""
    corpus = Corpus(8)
    assert all(len(json.loads(corpus.turn("zh", "two commands").answer)) == 2 for _ in range(50))


def test_a_delayed_command_has_its_minutes() -> None:
    """The delay is a number of minutes in the call."""
    corpus = Corpus(9)
    delays = [json.loads(corpus.turn("en", "delayed").answer)["delay_minutes"] for _ in range(50)]
    assert all(1 <= minutes <= 480 for minutes in delays)


def test_a_follow_up_keeps_the_device_of_the_command_before_it() -> None:
    """What only makes sense after the first command means the same device."""
    corpus = Corpus(10)
    for _ in range(50):
        first, second = (json.loads(turn.answer) for turn in corpus.follow_up("zh"))
        assert first["device"] == second["device"]


@pytest.mark.parametrize("category", _CATEGORIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_category_can_be_drawn_on_request(category: str, language: Language) -> None:
    """A turn has the category and the language that were asked for."""
    turn = Corpus(11).turn(language, category)
    assert (turn.category, turn.language) == (category, language)


def test_a_conversation_has_as_many_turns_as_asked_for() -> None:
    """Follow-ups never make it longer."""
    corpus = Corpus(12)
    assert {len(corpus.conversation(3)) for _ in range(100)} == {3}
