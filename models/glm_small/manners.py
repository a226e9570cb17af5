"""How people dress a sentence: openers, closers, capitals and punctuation."""

import re
from collections.abc import Iterator
from random import Random

from models.glm_small.grammar_file import Language

_HEARD_PARTS: dict[Language, int] = {"zh": 8, "en": 4}


def dress_command(rng: Random, language: Language, text: str, words: dict[str, list[str]]) -> str:
    """A command with an opener and a closer, either of which is often missing."""
    opener = rng.choice(words["openers"]) if rng.random() < 0.5 else ""
    closer = rng.choice(words["closers"]) if rng.random() < 0.25 else ""
    return finish(rng, language, opener + text + closer)


def finish(rng: Random, language: Language, text: str) -> str:
    """Punctuation and capitals as a keyboard or a speech recognizer would write them."""
    return _finish_chinese(rng, text) if language == "zh" else _finish_english(rng, text)


def misheard(rng: Random, language: Language, text: str) -> str:
    """The text with one word (in Chinese: one character) missing, where enough is left to understand it."""
    parts, separator = (list(text), "") if language == "zh" else (text.split(" "), " ")
    if len(parts) >= _HEARD_PARTS[language]:
        parts.pop(rng.randrange(len(parts)))
    return separator.join(parts)


def mishearings(language: Language, pattern: str) -> Iterator[str]:
    """Everything that `misheard` can leave of a pattern; a slot counts as one part, in Chinese too."""
    parts = re.findall(r"\{\w\}|.", pattern) if language == "zh" else pattern.split(" ")
    separator = "" if language == "zh" else " "
    return (separator.join(parts[:number] + parts[number + 1 :]) for number in range(len(parts)))


def _finish_chinese(rng: Random, text: str) -> str:
    if rng.random() < 0.5:
        text = text.replace(",", "，")
    return text + rng.choice(("", "", "", "", "。", "。", "！", ".", "!"))


def _finish_english(rng: Random, text: str) -> str:
    if rng.random() < 0.5:
        text = " ".join("I" + word[1:] if word == "i" or word.startswith("i'") else word for word in text.split(" "))
    text = text.lower() if rng.random() < 0.4 else text
    text = text[:1].upper() + text[1:] if rng.random() < 0.4 else text
    return text + rng.choice(("", "", "", ".", "!"))
