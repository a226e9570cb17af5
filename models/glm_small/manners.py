"""How people dress a sentence: openers, closers, capitals and punctuation."""

from random import Random

from models.glm_small.grammar_file import Language


def dress_command(rng: Random, language: Language, text: str, words: dict[str, list[str]]) -> str:
    """A command with an opener and a closer, either of which is often missing."""
    opener = rng.choice(words["openers"]) if rng.random() < 0.5 else ""
    closer = rng.choice(words["closers"]) if rng.random() < 0.25 else ""
    return finish(rng, language, opener + text + closer)


def finish(rng: Random, language: Language, text: str) -> str:
    """Punctuation and capitals as a keyboard or a speech recognizer would write them."""
    return _finish_chinese(rng, text) if language == "zh" else _finish_english(rng, text)


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
