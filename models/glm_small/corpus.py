"""Mixes commands and questions into turns and conversations of one split; the same seed gives the same corpus."""

from collections.abc import Callable
from random import Random
from typing import TypeVar

from models.glm_small import manners, wording
from models.glm_small.command import Command
from models.glm_small.example import Example, Utterance, belongs, from_utterance
from models.glm_small.grammar_file import LANGUAGES, Language, devices, words
from models.glm_small.question import Asker
from models.glm_small.split import Split, Stage, wants_held_out_pattern
from models.glm_small.utterance import Speaker

_Drawn = TypeVar("_Drawn", Example, Utterance)
Conversation = tuple[Example, ...]
CATEGORIES = ("command", "two commands", "delayed", "scene", "implied", "follow-up", "about", "decline")

_TURNS = {"command": 31, "two commands": 24, "delayed": 6, "scene": 4, "implied": 6, "question": 29}
_CHINESE_SHARE = 0.55
_FOLLOW_UP_SHARE = 0.5
_TWO_ROOMS_SHARE = 0.3
_MISHEARD_SHARE = 0.2
_CAN_BE_DELAYED = ("on", "off", "open", "close", "start", "stop")
_ATTEMPTS = 100_000


class Corpus:
    """An endless supply of turns and conversations of one split."""

    def __init__(self, seed: int | str, split: Split = "train", stage: Stage = "test") -> None:
        self._rng = Random(f"glm-small/{split}/{seed}")
        self._split: Split = split
        self._stage: Stage = stage
        only = stage if wants_held_out_pattern(split) else None
        self._speakers = {language: Speaker(self._rng, language, only) for language in LANGUAGES}
        misheard = _MISHEARD_SHARE if split == "train" else 0.0
        self._askers = {language: Asker(self._rng, language, only, misheard) for language in LANGUAGES}
        self._makers: dict[str, Callable[[Language], Example]] = {
            "command": self._command,
            "two commands": self._two_commands,
            "delayed": self._delayed,
            "scene": self._scene,
            "implied": self._implied,
            "question": self._question,
        }

    def turn(self, language: Language | None = None, category: str | None = None) -> Example:
        """One turn that needs no history; language and category are random unless given."""
        language = language or self._language()
        if category in ("about", "decline"):
            return self._retry(lambda: self._question(language), lambda example: example.category == category)
        return self._makers[category or self._rng.choices(list(_TURNS), list(_TURNS.values()))[0]](language)

    def conversation(self, turns: int) -> Conversation:
        """Some turns in one language; a command may be followed by one that leans on it."""
        language = self._language()
        done: list[Example] = []
        while len(done) < turns:
            if turns - len(done) > 1 and self._rng.random() < _FOLLOW_UP_SHARE:
                done.extend(self.follow_up(language))
            else:
                done.append(self.turn(language))
        return tuple(done)

    def follow_up(self, language: Language) -> Conversation:
        """Two turns: a command, and one that only makes sense after it."""
        speaker = self._speakers[language]
        first = self._accept(speaker.any_command)
        command = first.commands[0]
        second = self._accept(lambda: self._leaning(speaker, command))
        return (self._dressed(first, "command", language), self._dressed(second, "follow-up", language))

    def _leaning(self, speaker: Speaker, command: Command) -> Utterance:
        device = devices()[command.device]
        if device.has_rooms and command.room and self._rng.random() < 0.35:
            return speaker.elsewhere(command)
        return speaker.command_to_pronoun(device, command.room)

    def _command(self, language: Language) -> Example:
        return self._dressed(self._accept(self._speakers[language].any_command), "command", language)

    def _scene(self, language: Language) -> Example:
        return self._dressed(self._accept(self._speakers[language].scene), "scene", language)

    def _implied(self, language: Language) -> Example:
        return self._dressed(self._accept(self._speakers[language].implicit), "implied", language)

    def _two_commands(self, language: Language) -> Example:
        speaker = self._speakers[language]
        if self._rng.random() < _TWO_ROOMS_SHARE:
            return self._dressed(self._accept(speaker.command_to_two_rooms), "two commands", language)
        parts = [self._accept(speaker.any_command) for _ in range(2)]
        joiner = self._rng.choice(words(language)["joiners"])
        both = Utterance(
            parts[0].text + joiner + parts[1].text,
            parts[0].commands + parts[1].commands,
            parts[0].patterns + parts[1].patterns,
        )
        return self._dressed(both, "two commands", language)

    def _delayed(self, language: Language) -> Example:
        utterance = self._accept(lambda: self._delay(language))
        return self._dressed(utterance, "delayed", language)

    def _delay(self, language: Language) -> Utterance:
        plain = self._speakers[language].any_command()
        while plain.commands[0].action not in _CAN_BE_DELAYED:
            plain = self._speakers[language].any_command()
        minutes = wording.draw_delay(self._rng)
        pattern = self._rng.choice(words(language)["delays"])
        text = wording.delay_text(self._rng, language, minutes)
        sentence = pattern.format(t=text, c=plain.text) if language == "en" else pattern.format(t=text) + plain.text
        first = plain.commands[0]
        command = Command(first.device, first.room, first.action, delay_minutes=minutes)
        return Utterance(sentence, (command,), plain.patterns)

    def _question(self, language: Language) -> Example:
        asker = self._askers[language]
        return self._retry(asker.ask, lambda asked: self._belongs(asked.patterns, asked.combinations))

    def _accept(self, say: Callable[[], Utterance]) -> Utterance:
        return self._retry(say, lambda said: self._belongs(said.patterns, said.combinations))

    def _belongs(self, patterns: tuple[str, ...], combinations: tuple[str, ...]) -> bool:
        return belongs(patterns, combinations, self._split, self._stage)

    def _retry(self, draw: Callable[[], _Drawn], fits: Callable[[_Drawn], bool]) -> _Drawn:
        for _ in range(_ATTEMPTS):
            drawn = draw()
            if fits(drawn):
                return drawn
        raise LookupError(f"the grammar has nothing for split {self._split!r}: add patterns or combinations")

    def _dressed(self, utterance: Utterance, category: str, language: Language) -> Example:
        text = manners.dress_command(self._rng, language, utterance.text, words(language))
        return from_utterance(utterance, text, category, language)

    def _language(self) -> Language:
        return "zh" if self._rng.random() < _CHINESE_SHARE else "en"
