"""Numbers as people read them."""

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_UNIT_STEP = 1000


def counted(count: int, noun: str) -> str:
    """1 and "turn" become "1 turn", 2 of them "2 turns"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def byte_count(count: float) -> str:
    """Decimal units, three digits: 12345678 becomes "12.3 MB"."""
    for unit in _BYTE_UNITS:
        if count < _UNIT_STEP or unit == _BYTE_UNITS[-1]:
            break
        count /= _UNIT_STEP
    return f"{count:.3g} {unit}" if count < _UNIT_STEP else f"{count:.0f} {unit}"


def duration(seconds: float) -> str:
    """The two largest units: 93784 becomes "1 d 2 h"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts = []
    rest = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        whole, rest = divmod(rest, size)
        if whole:
            parts.append(f"{whole} {unit}")
    return " ".join(parts[:2])


def milliseconds(value: float) -> str:
    """Whole milliseconds below ten seconds, seconds above."""
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def rate(count: float, seconds: float) -> str:
    """Per second, or a dash where there was no time."""
    return f"{count / seconds:.1f}" if seconds > 0 else "-"
