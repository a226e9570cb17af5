"""Trains the sentencepiece vocabulary on the grammar's fragments.

Fragments, not sentences: a piece must never join a room to a device or a verb to a slot, or combinations
that training has not seen would also be segmented as it has not seen.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece

from models.glm_small.chat import SPECIAL_TOKENS
from models.glm_small.example import pattern_key, topic_key
from models.glm_small.grammar_file import (
    LANGUAGES,
    Language,
    attributes,
    devices,
    expand_all,
    patterns,
    questions,
    read,
    rooms,
)
from models.glm_small.numerals import english
from models.glm_small.split import fate

PIECES = 4096

_SLOT = re.compile(r"\{\w+\}")
_WORD = re.compile(r"[A-Za-z][A-Za-z'_]*|[^\x00-\x7f]+|`[^`]+`")
_CHINESE_GLUE = re.compile(
    "(怎么|如何|怎样|什么|哪里|一下|一点|一些|[你您我的了在是会能和有把将让请给谁吗呢这也都不没，。；：！、])"
)
_CHINESE_WORD_CHARACTERS = 4
_SPOKEN = [
    "percent",
    "degrees",
    "degree",
    "celsius",
    "minutes",
    "minute",
    "hours",
    "hour",
    "half",
    "an hour",
    "channel",
    "number",
    "level",
    "speed",
    "maximum",
    "full",
    "hundred",
    "in the house",
    "in every room",
    "please",
    "thanks",
    "the",
    "my",
    "all",
    "every",
    "and",
]
_SPOKEN_ZH = [
    "百分之",
    "频道",
    "摄氏度",
    "分钟",
    "小时",
    "半小时",
    "个小时",
    "一半",
    "最亮",
    "最大",
    "全屋",
    "所有",
    "全部",
    "家里",
    "还有",
    "里的",
]
_REQUIRED = "".join(map(chr, range(0x21, 0x7F))) + "，。！？、；：“”℃°×％"
_JSON_SYMBOLS = ('{"device":"', '","room":"', '","action":"', '","attribute":"', '","by":', ',"by":', '{"scene":"')
_JSON_ENDS = ('"}', '","delay_minutes":', ',{"device":"')


def train(folder: Path) -> Path:
    """Write tokenizer.model into the folder and return its path."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=fragments(),
        model_writer=written,
        model_type="unigram",
        vocab_size=PIECES,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=1.0,
        user_defined_symbols=[*SPECIAL_TOKENS, "\n", *json_symbols()],
        required_chars=_REQUIRED,
        split_digits=True,
        split_by_unicode_script=False,
        max_sentencepiece_length=20,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        num_threads=1,
        shuffle_input_sentence=False,
        minloglevel=2,
    )
    file = folder / "tokenizer.model"
    file.write_bytes(written.getvalue())
    return file


def json_symbols() -> list[str]:
    """The skeleton of the JSON answers, a token each: a call is short to generate."""
    values = [f'","{key}":' for key, attribute in attributes().items() if attribute.kind != "query"]
    texts = [f'","{key}":"' for key, attribute in attributes().items() if attribute.kind == "choice"]
    return [*_JSON_SYMBOLS, *_JSON_ENDS, *texts, *values]


def fragments() -> Iterator[str]:
    """Everything that the corpus is put together from, in pieces, each with its variants."""
    yield from _names()
    for text in _texts():
        for piece in _SLOT.split(text):
            yield from _variants(piece)


def _variants(piece: str) -> Iterator[str]:
    stripped = piece.strip()
    if not stripped:
        return
    for word in _WORD.findall(stripped):
        if word.isascii():
            yield from (word, f" {word}", f" {word.lower()}", word.capitalize())
        else:
            yield from _chinese_words(word)


def _chinese_words(run: str) -> Iterator[str]:
    # A piece longer than a word would segment an unseen phrasing unlike the seen ones.
    for part in _CHINESE_GLUE.split(run):
        yield from [part] if len(part) <= _CHINESE_WORD_CHARACTERS else part


def _texts() -> Iterator[str]:
    yield from _names()
    for language in LANGUAGES:
        table = read(f"patterns_{language}")
        for group in patterns(language).values():
            yield from _trained(language, group)
        for raw in [*table["scenes"].values(), *(entry["patterns"] for entry in table["implicit"])]:
            yield from _trained(language, expand_all(raw))
        yield from [*table["openers"], *table["closers"], *table["joiners"], *table["delays"]]
        yield from _question_texts(language)
    yield from (english(number) for number in range(100))
    for word in _SPOKEN:
        yield from [f" {word}", word] * 3
    yield from _SPOKEN_ZH * 3
    yield from "零一二三四五六七八九十百两半"


def _names() -> Iterator[str]:
    for key, table in rooms().items():
        yield from [key] * 5 + [name for language in LANGUAGES for name in table[language]] * 5
    for device in devices().values():
        yield from [device.key] * 5 + [name for language in LANGUAGES for name in device.names[language]] * 5
        yield from [*device.actions, "set", "increase", "decrease", "query"]
    for attribute in attributes().values():
        yield from [attribute.key, *(name for language in LANGUAGES for name in attribute.names[language])] * 3
        for key, choice in attribute.choices.items():
            yield from [key, *choice["zh"], *choice["en"]] * 3


def _question_texts(language: Language) -> Iterator[str]:
    table = read(f"questions_{language}")
    yield from [*table["openers"], *table["closers"]]
    for topic in questions(language):
        yield from _trained(language, topic.patterns)
        yield from (subject for subject in topic.topics if fate(topic_key(language, topic.key, subject)) == "train")
        yield from [topic.answer] * 5


def _trained(language: Language, group: Iterable[str]) -> Iterator[str]:
    # What is held out must not decide how text is cut, and a piece of it alone would never be trained.
    return (pattern for pattern in group if fate(pattern_key(language, pattern)) == "train")
