"""Draws questions about the model, the box and everything that it politely declines."""

from collections.abc import Iterator
from random import Random

from models.glm_small import manners, phrase
from models.glm_small.example import Example, pattern_key, preferred, topic_key
from models.glm_small.grammar_file import Language, Topic, devices, questions, read
from models.glm_small.split import Stage, fate

_DECLINED = {
    "knowledge": 8,
    "realtime": 5,
    "skills": 6,
    "unknown_device": 6,
    "reminders": 3,
    "negated": 3,
    "unclear": 2,
}
_INVENTED_SHARE = {"knowledge": 0.5, "unknown_device": 0.5, "realtime": 0.3, "skills": 0.3}
_EVERY_WORD_COUNTS = ("negated", "unclear")
_IDENTITY_WEIGHT = 3
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
_FIRST_ROW, _LAST_ROW = 0xB0, 0xD6  # the rows of GB2312 that hold its everyday characters


class Asker:
    """Asks random questions in one language."""

    def __init__(self, rng: Random, language: Language, only: Stage | None = None, misheard: float = 0.0) -> None:
        """Ask with all patterns, or, to find evaluation cases sooner, in those of one stage where there are any.

        A share of the questions, misheard, misses a word: what asks for the same in other words is to be known, too.
        """
        self._rng = rng
        self._misheard = misheard
        self._only: Stage | None = only
        self._language: Language = language
        self._topics = questions(language)
        self._overheard = frozenset(_overheard(language)) if only else frozenset[str]()
        self._weights = [_weight(topic) for topic in self._topics]
        table = read(f"questions_{language}")
        self._openers: list[str] = table["openers"]
        self._closers: list[str] = table["closers"]

    def ask(self) -> Example:
        """A question of a random kind."""
        topic, pattern = self._draw()
        while pattern in self._overheard:
            topic, pattern = self._draw()
        text, subjects = self._fill(topic, pattern)
        key = pattern_key(self._language, pattern)
        category = "decline" if topic.key in _DECLINED else "about"
        if topic.key not in _EVERY_WORD_COUNTS and self._rng.random() < self._misheard:
            text = manners.misheard(self._rng, self._language, text)
        return Example(self._dress(topic, text), topic.answer, category, self._language, (key,), subjects)

    def _draw(self) -> tuple[Topic, str]:
        topic = self._rng.choices(self._topics, self._weights)[0]
        return topic, self._rng.choice(preferred(topic.patterns, self._language, self._only))

    def _fill(self, topic: Topic, pattern: str) -> tuple[str, tuple[str, ...]]:
        rng, subjects = self._rng, []
        while "{x}" in pattern:
            subject = self._subject(topic)
            subjects.append(topic_key(self._language, topic.key, subject))
            pattern = pattern.replace("{x}", subject, 1)
        while "{n}" in pattern:
            pattern = pattern.replace("{n}", str(rng.randint(1, rng.choice((10, 100, 1000)))), 1)
        if "{d}" in pattern:
            pattern = pattern.replace("{d}", self._device())
        return pattern.replace("{r}", self._maybe_room()), tuple(subjects)

    def _device(self) -> str:
        device = self._rng.choice(list(devices().values()))
        return phrase.device_text(self._rng, self._language, device, phrase.draw_room(self._rng, device))

    def _subject(self, topic: Topic) -> str:
        if not topic.topics or self._rng.random() < _INVENTED_SHARE.get(topic.key, 0.0):
            return self._invented_word()
        return self._rng.choice(topic.topics)

    def _invented_word(self) -> str:
        # Made-up words teach the model that whatever it does not know, it declines.
        rng = self._rng
        if self._language == "en":
            return "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))
        return "".join(_everyday_character(rng) for _ in range(rng.randint(2, 4)))

    def _maybe_room(self) -> str:
        if self._rng.random() < 0.5:
            return ""
        name = phrase.room_text(self._rng, self._language, phrase.draw_single_room(self._rng))
        return name + ("的" if self._language == "zh" else " ")

    def _dress(self, topic: Topic, text: str) -> str:
        rng = self._rng
        if topic.key in ("hello", "thanks", "goodbye", "unclear"):
            return manners.finish(rng, self._language, text)
        opener = rng.choice(self._openers) if rng.random() < 0.35 else ""
        closer = rng.choice(self._closers) if rng.random() < 0.25 else ""
        mark = rng.choice("?？") if rng.random() < 0.3 else ""
        return (
            manners.finish(rng, self._language, opener + text + closer) if not mark else opener + text + closer + mark
        )


def _overheard(language: Language) -> Iterator[str]:
    """What training can say of patterns that are held out, because a trained one that misses a word reads so."""
    for topic in questions(language):
        for pattern in topic.patterns:
            if fate(pattern_key(language, pattern)) == "train":
                yield from manners.mishearings(language, pattern)


def _weight(topic: Topic) -> int:
    return _IDENTITY_WEIGHT if topic.key == "identity" else _DECLINED.get(topic.key, 1)


def _everyday_character(rng: Random) -> str:
    row, cell = rng.randint(_FIRST_ROW, _LAST_ROW), rng.randint(0xA1, 0xFE)
    return bytes((row, cell)).decode("gb2312")
