"""Sentences from outside of the grammar are whole, and right where one of their answers is given."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from models.glm_small.command import Command, render
from models.glm_small.grammar_file import LANGUAGES, attributes, devices, rooms
from models.glm_small.held_out import Case
from models.glm_small.outside import Sentence, judged, sentences


def test_every_call_is_one_that_the_model_could_give() -> None:
    """What it is trained to write, key by key, of known devices, rooms and actions; else it could never be right."""
    for sentence in sentences():
        for answer in sentence.answers if sentence.kind == "call" else ():
            calls = json.loads(answer)
            commands = tuple(command(call) for call in (calls if isinstance(calls, list) else [calls]))
            assert render(commands) == answer
            assert all(each.scene or is_possible(each) for each in commands), sentence


def command(call: dict[str, Any]) -> Command:
    """The command that a call means."""
    value = next((key for key in call if key in attributes()), "")
    return Command(
        call.get("device", ""),
        call.get("room", ""),
        call["action"],
        value or call.get("attribute", ""),
        call.get(value),
        call.get("by"),
        call.get("delay_minutes"),
        call.get("scene", ""),
    )


def is_possible(command: Command) -> bool:
    """Whether the device is one that does this."""
    device = devices()[command.device]
    abilities = {"set": device.settable, "query": device.queryable}.get(command.action, device.adjustable)
    known = command.action in device.actions or command.attribute in abilities
    return known and (not command.room or (command.room in rooms() and device.has_rooms))


def test_both_languages_are_there_and_no_sentence_twice() -> None:
    """A hundred at least of each."""
    asked = sentences()
    assert all(sum(each.language == language for each in asked) >= 100 for language in LANGUAGES)
    assert len({each.text for each in asked}) == len(asked)


def test_one_of_several_right_answers_is_enough() -> None:
    """A complaint may mean more than one call."""
    either = Sentence("en", "call", "it is stuffy", ("[]", "{}"))
    other = Sentence("en", "call", "hm", ("1",))

    def likes(wanted: str) -> tuple[bool, ...]:
        def right(cases: Sequence[Case]) -> Iterator[bool]:
            return (case.answer == wanted for case in cases)

        return judged([either, other], right)

    assert [likes("[]"), likes("{}"), likes("1")] == [(True, False), (True, False), (False, True)]
