"""Draws commands and says them: one Speaker per language and source of randomness."""

from random import Random

from models.glm_small import phrase, wording
from models.glm_small.command import Command
from models.glm_small.example import Utterance, pattern_key, preferred
from models.glm_small.grammar_file import (
    Attribute,
    Device,
    Language,
    attributes,
    devices,
    expand_all,
    patterns,
    read,
    words,
)
from models.glm_small.split import Stage

_INTENTS = ("action", "action", "set", "set", "set", "adjust", "query")


class Speaker:
    """Says random commands in one language. Whether a command may be used is for the caller to judge."""

    def __init__(self, rng: Random, language: Language, only: Stage | None = None) -> None:
        """Speak in all patterns, or, to find evaluation cases sooner, in those of one stage where there are any."""
        self._rng = rng
        self._language: Language = language
        self._words = words(language)
        table = read(f"patterns_{language}")
        groups = patterns(language).items()
        self._patterns = {key: preferred(options, language, only) for key, options in groups}
        scenes = {key: expand_all(raw) for key, raw in table["scenes"].items()}
        self._scenes = {key: preferred(options, language, only) for key, options in scenes.items()}
        implicit = [(tuple(entry["command"]), expand_all(entry["patterns"])) for entry in table["implicit"]]
        self._implicit = [(command, preferred(options, language, only)) for command, options in implicit]
        self._same_room = preferred(expand_all(table["words"]["same_room"]), language, only)

    def any_command(self) -> Utterance:
        """A command to a random device."""
        device = self._draw_device()
        room = phrase.draw_room(self._rng, device)
        return self._command_to(device, room, phrase.device_text(self._rng, self._language, device, room))

    def command_to_pronoun(self, device: Device, room: str) -> Utterance:
        """A random command in which a pronoun stands for device and room."""
        return self._command_to(device, room, self._rng.choice(self._words["pronouns"]))

    def command_to_two_rooms(self) -> Utterance:
        """The same command to the same kind of device in two rooms."""
        device = self._draw_device()
        while not device.has_rooms:
            device = self._draw_device()
        pair = phrase.draw_two_rooms(self._rng)
        said = self._command_to(device, pair[0], phrase.two_rooms_text(self._rng, self._language, device, pair))
        command = said.commands[0]
        return Utterance(said.text, (command, command.moved_to(pair[1])), said.patterns)

    def scene(self) -> Utterance:
        """A scene for the whole home, such as leaving or watching a film."""
        key = self._rng.choice(sorted(self._scenes))
        text = self._rng.choice(self._scenes[key])
        return Utterance(text, (Command(scene=key),), (self._key(text),))

    def implicit(self) -> Utterance:
        """A complaint that means a command, such as a room that is too dark."""
        (device, action, attribute), options = self._rng.choice(self._implicit)
        room = phrase.draw_single_room(self._rng)
        name = phrase.room_text(self._rng, self._language, room)
        pattern = self._rng.choice(options)
        if self._language == "en":
            name = self._rng.choice(("the ", "my ")) + name
        command = Command(device, room if "{r}" in pattern else "", action, attribute)
        return Utterance(pattern.format(r=name), (command,), (self._key(pattern),))

    def elsewhere(self, command: Command) -> Utterance:
        """The same command for another room, said without repeating it."""
        room = phrase.draw_single_room(self._rng)
        pattern = self._rng.choice(self._same_room)
        text = pattern.format(r=phrase.room_text(self._rng, self._language, room))
        return Utterance(text, (command.moved_to(room),), (self._key(pattern),))

    def _command_to(self, device: Device, room: str, name: str) -> Utterance:
        match self._rng.choice(_INTENTS):
            case "set" if device.settable:
                return self._set(device, room, name)
            case "adjust" if device.adjustable:
                return self._adjust(device, room, name)
            case "query":
                return self._query(device, room, name)
        action = self._rng.choice(device.actions)
        return self._say(action, Command(device.key, room, action), {"d": name})

    def _draw_device(self) -> Device:
        known = list(devices().values())
        return self._rng.choices(known, [device.weight for device in known])[0]

    def _set(self, device: Device, room: str, name: str) -> Utterance:
        rng = self._rng
        attribute = attributes()[rng.choice([device.settable[0], *device.settable])]
        value = wording.draw_value(rng, device, attribute)
        slots = {
            "d": name,
            "a": rng.choice(attribute.names[self._language]),
            "v": wording.value_text(rng, self._language, attribute, value),
        }
        group = self._set_group(device, attribute)
        return self._say(group, Command(device.key, room, "set", attribute.key, value), slots)

    def _set_group(self, device: Device, attribute: Attribute) -> str:
        if attribute.kind == "channel":
            return "set_channel"
        if attribute.key == "position" and self._rng.random() < 0.5:
            return "set_position"
        understood = attribute.kind == "choice" or attribute.key == device.settable[0]
        return "set_main" if understood and self._rng.random() < 0.6 else "set_attribute"

    def _adjust(self, device: Device, room: str, name: str) -> Utterance:
        rng, language = self._rng, self._language
        attribute = attributes()[rng.choice(device.adjustable)]
        direction = rng.choice(("increase", "decrease"))
        slots = {
            "d": name,
            "a": rng.choice(attribute.names[language]),
            "m": rng.choice(attribute.comparatives[f"{direction}_{language}"]),
            "g": rng.choice(self._words[direction]),
            "g2": rng.choice(self._words[f"{direction}_short"]),
            "h": "up" if direction == "increase" else "down",
        }
        command = Command(device.key, room, direction, attribute.key)
        if attribute.kind != "choice" and rng.random() < 0.35:
            return self._adjust_by(command, attribute, slots)
        return self._say(rng.choice(("adjust", "adjust", "adjust_attribute")), command, slots)

    def _adjust_by(self, command: Command, attribute: Attribute, slots: dict[str, str]) -> Utterance:
        amount = wording.draw_amount(self._rng, attribute)
        slots["b"] = wording.amount_text(self._rng, self._language, attribute, amount)
        by_amount = Command(command.device, command.room, command.action, command.attribute, amount=amount)
        return self._say("adjust_amount", by_amount, slots)

    def _query(self, device: Device, room: str, name: str) -> Utterance:
        attribute = attributes()[self._rng.choice(device.queryable)]
        group = "query_state" if attribute.key == "state" else "query_attribute"
        slots = {"d": name, "a": self._rng.choice(attribute.names[self._language])}
        return self._say(group, Command(device.key, room, "query", attribute.key), slots)

    def _say(self, group: str, command: Command, slots: dict[str, str]) -> Utterance:
        pattern = self._rng.choice(self._patterns[group])
        return Utterance(pattern.format(**slots), (command,), (self._key(pattern),))

    def _key(self, pattern: str) -> str:
        return pattern_key(self._language, pattern)
