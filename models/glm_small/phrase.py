"""Noun phrases: a device with its room."""

from random import Random

from models.glm_small.grammar_file import WHOLE_HOME, Device, Language, rooms

_ENGLISH_WITH_ROOM = ("the {r} {n}", "the {r} {n}", "the {n} in the {r}", "{r} {n}", "my {r} {n}")
_ENGLISH_ALONE = ("the {n}", "the {n}", "{n}", "my {n}")
_ENGLISH_WHOLE_HOME = ("all the {n}", "all {n}", "every {n}", "all the {n} in the house", "the {n} in every room")
_ENGLISH_TWO_ROOMS = ("the {r} and {s} {n}", "the {n} in the {r} and the {s}", "the {n} in the {r} and {s}")
_CHINESE_TWO_ROOMS = ("{r}和{s}的{n}", "{r}和{s}{n}", "{r}跟{s}的{n}", "{r}还有{s}的{n}")
_CHINESE_WITH_ROOM = ("{r}的{n}", "{r}的{n}", "{r}{n}", "{r}里的{n}")
_CHINESE_WHOLE_HOME = ("所有的{n}", "全屋的{n}", "全部{n}", "家里所有的{n}", "所有{n}", "全屋{n}")


def draw_room(rng: Random, device: Device) -> str:
    """A room key, or "" when the speaker names none."""
    if not device.has_rooms or rng.random() < 0.2:
        return ""
    return rng.choice(sorted(rooms()))


def draw_single_room(rng: Random) -> str:
    """A room key that is one room, not the whole home."""
    return rng.choice(sorted(key for key in rooms() if key != WHOLE_HOME))


def draw_two_rooms(rng: Random) -> tuple[str, str]:
    """Two different rooms."""
    first, second = rng.sample(sorted(key for key in rooms() if key != WHOLE_HOME), 2)
    return first, second


def room_text(rng: Random, language: Language, room: str) -> str:
    """One of the names of a room."""
    return rng.choice(rooms()[room][language])


def device_text(rng: Random, language: Language, device: Device, room: str) -> str:
    """A device with its room, as a noun phrase."""
    name = rng.choice(device.names[language])
    if not room:
        return rng.choice(_ENGLISH_ALONE).format(n=name) if language == "en" else name
    if room == WHOLE_HOME:
        forms: tuple[str, ...] = _ENGLISH_WHOLE_HOME if language == "en" else _CHINESE_WHOLE_HOME
    else:
        forms = _ENGLISH_WITH_ROOM if language == "en" else _CHINESE_WITH_ROOM
    return rng.choice(forms).format(n=name, r=room_text(rng, language, room))


def two_rooms_text(rng: Random, language: Language, device: Device, pair: tuple[str, str]) -> str:
    """A device in two rooms, as a noun phrase."""
    forms = _ENGLISH_TWO_ROOMS if language == "en" else _CHINESE_TWO_ROOMS
    names = {"r": room_text(rng, language, pair[0]), "s": room_text(rng, language, pair[1])}
    return rng.choice(forms).format(n=rng.choice(device.names[language]), **names)
