"""How values, amounts and durations are worded in each language."""

from random import Random

from models.glm_small.grammar_file import Attribute, Device, Language
from models.glm_small.numerals import chinese, chinese_count, english

Value = int | str


def draw_value(rng: Random, device: Device, attribute: Attribute) -> Value:
    """A value that the device accepts: round numbers more often than others."""
    if attribute.kind == "choice":
        return rng.choice(device.modes if attribute.key == "mode" else sorted(attribute.choices))
    low, high = device.ranges.get(attribute.key, attribute.range)
    if attribute.kind in ("percent", "number") and rng.random() < 0.6:
        return rng.randrange(low, high + 1, 5)
    return rng.randint(low, high)


def draw_amount(rng: Random, attribute: Attribute) -> int:
    """How much more or less: a few degrees, or tens of percent."""
    return rng.randint(1, 6) if attribute.kind == "celsius" else rng.choice((5, 10, 15, 20, 25, 30, 40))


def draw_delay(rng: Random) -> int:
    """Minutes until a command is due."""
    return rng.choice((rng.randint(1, 59), rng.choice((5, 10, 15, 20, 30, 45)), 60 * rng.randint(1, 8)))


def value_text(rng: Random, language: Language, attribute: Attribute, value: Value) -> str:
    """One of the ways to say a value of this attribute."""
    if isinstance(value, str):
        return rng.choice(attribute.choices[value][language])
    options = _chinese_value(attribute, value) if language == "zh" else _english_value(attribute, value)
    return rng.choice(options)


def amount_text(rng: Random, language: Language, attribute: Attribute, amount: int) -> str:
    """One of the ways to say a difference, e.g. 两度 or "ten percent"."""
    if language == "zh":
        unit = {"celsius": "度", "percent": "%"}.get(attribute.kind, "")
        spoken = f"百分之{chinese(amount)}" if unit == "%" else chinese_count(amount) + unit
        return rng.choice((f"{amount}{unit}", spoken))
    unit = {"celsius": " degree" + "s" * (amount > 1), "percent": " percent"}.get(attribute.kind, "")
    options = [f"{amount}{unit}", english(amount) + unit]
    return rng.choice([*options, f"{amount}%"] if unit == " percent" else options)


def delay_text(rng: Random, language: Language, minutes: int) -> str:
    """One of the ways to say a duration."""
    return rng.choice(_chinese_delay(minutes) if language == "zh" else _english_delay(minutes))


def _chinese_value(attribute: Attribute, value: int) -> list[str]:
    spoken = chinese(value)
    match attribute.kind:
        case "percent":
            return [
                f"{value}%",
                f"{value}%",
                f"百分之{value}",
                f"百分之{spoken}",
                *_chinese_fractions(attribute, value),
            ]
        case "celsius":
            return [f"{value}度", f"{value}℃", f"{value}摄氏度", f"{spoken}度", f"{spoken}度", f"{spoken}摄氏度"]
        case "channel":
            return [f"{value}频道", f"{spoken}频道", f"第{value}频道", f"{value}台", f"{spoken}台"]
        case "level":
            return [f"{value}档", f"{spoken}档", f"第{value}档", f"第{spoken}档"]
    return [str(value), spoken]


def _chinese_fractions(attribute: Attribute, value: int) -> list[str]:
    fractions = ["一半", "一半"] if value == 50 else []
    if value in range(10, 100, 10):
        fractions.append(chinese(value // 10) + "成")
    if value == 100:
        fractions.append("最亮" if attribute.key == "brightness" else "最大")
    return fractions


def _english_value(attribute: Attribute, value: int) -> list[str]:
    spoken = english(value)
    match attribute.kind:
        case "percent":
            halves = ["half", "halfway", "half way"] if attribute.key == "position" else ["half"]
            special = {50: halves, 100: ["maximum", "full"]}.get(value, [])
            return [f"{value}%", f"{value} percent", f"{spoken} percent", *special]
        case "celsius":
            return [f"{value} degrees", f"{value}", f"{value} degrees celsius", f"{spoken} degrees", f"{value}°C"]
        case "channel":
            return [f"channel {value}", f"channel {spoken}", f"channel number {value}"]
        case "level":
            return [f"level {value}", f"level {spoken}", f"speed {value}"]
    return [str(value), spoken]


def _chinese_delay(minutes: int) -> list[str]:
    if minutes == 30:
        return ["半小时", "半个小时", "30分钟", "三十分钟"]
    if minutes % 60:
        return [f"{minutes}分钟", f"{chinese_count(minutes)}分钟"]
    hours = minutes // 60
    return [f"{hours}小时", f"{hours}个小时", f"{chinese_count(hours)}个小时", f"{chinese_count(hours)}小时"]


def _english_delay(minutes: int) -> list[str]:
    if minutes == 30:
        return ["half an hour", "30 minutes", "thirty minutes"]
    if minutes % 60:
        plural = "s" * (minutes > 1)
        return [f"{minutes} minute{plural}", f"{english(minutes)} minute{plural}"]
    hours = minutes // 60
    return ["an hour", "one hour", "1 hour"] if hours == 1 else [f"{hours} hours", f"{english(hours)} hours"]
