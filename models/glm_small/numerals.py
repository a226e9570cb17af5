"""Numbers as people say them, in Chinese and English."""

_ZH_DIGITS = "零一二三四五六七八九"
_EN_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def chinese(number: int) -> str:
    """Spell 0..999 as spoken Chinese, e.g. 26 as 二十六 and 105 as 一百零五."""
    if number < 10:
        return _ZH_DIGITS[number]
    if number < 100:
        return _chinese_tens(number)
    hundreds, rest = divmod(number, 100)
    head = _ZH_DIGITS[hundreds] + "百"
    if rest == 0:
        return head
    if rest < 10:
        return head + "零" + _ZH_DIGITS[rest]
    return head + _ZH_DIGITS[rest // 10] + "十" + (_ZH_DIGITS[rest % 10] if rest % 10 else "")


def chinese_count(number: int) -> str:
    """Spell a count before a measure word: 两 for 2."""
    return "两" if number == 2 else chinese(number)


def english(number: int) -> str:
    """Spell 0..999 as spoken English without hyphens, e.g. 26 as 'twenty six'."""
    if number < 20:
        return _EN_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _EN_TENS[tens] + (f" {_EN_SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_EN_SMALL[hundreds]} hundred" + (f" {english(rest)}" if rest else "")


def _chinese_tens(number: int) -> str:
    tens, ones = divmod(number, 10)
    head = "" if tens == 1 else _ZH_DIGITS[tens]
    return head + "十" + (_ZH_DIGITS[ones] if ones else "")
