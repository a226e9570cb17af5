"""Reads the grammar: devices, rooms, attributes, sentence patterns and questions."""

import itertools
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
WHOLE_HOME = "all"

_FOLDER = Path(__file__).parent / "grammar"
_SPACES = re.compile(" +")
_ALTERNATIVES = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Device:
    """A kind of device: its names and what can be done with it."""

    key: str
    names: dict[str, list[str]]
    actions: list[str]
    settable: list[str]
    adjustable: list[str]
    queryable: list[str]
    modes: list[str]
    ranges: dict[str, list[int]]
    weight: int
    has_rooms: bool


@dataclass(frozen=True)
class Attribute:
    """A property of a device: the kind of its values and the words for it."""

    key: str
    kind: str
    names: dict[str, list[str]]
    choices: dict[str, dict[str, list[str]]]
    range: tuple[int, int]
    comparatives: dict[str, list[str]]


@dataclass(frozen=True)
class Topic:
    """One kind of question with its single answer."""

    key: str
    answer: str
    patterns: tuple[str, ...]
    topics: tuple[str, ...]


def expand(pattern: str) -> tuple[str, ...]:
    """Write out every alternative: "a(b|c)" gives "ab" and "ac"."""
    parts = _ALTERNATIVES.split(pattern)
    choices = [part.split("|") if odd % 2 else [part] for odd, part in enumerate(parts)]
    return tuple(_SPACES.sub(" ", "".join(combination)).strip() for combination in itertools.product(*choices))


def expand_all(patterns: list[str]) -> tuple[str, ...]:
    """Expand each pattern, keeping the order and dropping repetitions."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(expand(pattern) for pattern in patterns)))


@cache
def read(name: str) -> dict[str, Any]:
    """One grammar file as a table; raises FileNotFoundError when there is none of that name."""
    with (_FOLDER / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def rooms() -> dict[str, dict[str, list[str]]]:
    """Room keys with their names in each language."""
    return read("rooms")


@cache
def devices() -> dict[str, Device]:
    """Every device by its key."""
    return {key: _device(key, table) for key, table in read("devices").items()}


@cache
def attributes() -> dict[str, Attribute]:
    """Every attribute by its key."""
    return {key: _attribute(key, table) for key, table in read("attributes").items()}


@cache
def patterns(language: Language) -> dict[str, tuple[str, ...]]:
    """Expanded command patterns by group."""
    return {group: expand_all(raw) for group, raw in read(f"patterns_{language}")["patterns"].items()}


@cache
def words(language: Language) -> dict[str, list[str]]:
    """Openers, closers, joiners and the other small words of a language."""
    table = read(f"patterns_{language}")
    return {**table["words"], **{name: table[name] for name in ("openers", "closers", "joiners", "delays")}}


@cache
def questions(language: Language) -> tuple[Topic, ...]:
    """The kinds of questions with their answers."""
    table = read(f"questions_{language}")
    return tuple(
        Topic(key, entry["answer"], expand_all(entry["questions"]), tuple(entry.get("topics", ())))
        for key, entry in table.items()
        if key not in ("openers", "closers")
    )


def _device(key: str, table: dict[str, Any]) -> Device:
    return Device(
        key=key,
        names={language: table[language] for language in LANGUAGES},
        actions=table["actions"],
        settable=table["set"],
        adjustable=table["adjust"],
        queryable=table["query"],
        modes=table.get("modes", []),
        ranges=table.get("ranges", {}),
        weight=table.get("weight", 1),
        has_rooms=table.get("rooms", True),
    )


def _attribute(key: str, table: dict[str, Any]) -> Attribute:
    low, high = table.get("range", (0, 100))
    return Attribute(
        key=key,
        kind=table["kind"],
        names={language: table[language] for language in LANGUAGES},
        choices=table.get("choices", {}),
        range=(low, high),
        comparatives={name: table.get(name, []) for name in _comparative_names()},
    )


def _comparative_names() -> list[str]:
    return [f"{direction}_{language}" for direction in ("increase", "decrease") for language in LANGUAGES]
