"""What the fields of a request may hold, in our words: what the message cannot carry never gets to the daemon."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from openglm._details import ErrorDetails
from openglm._errors import InvalidArgumentError

_TEXT = "a text"
_COUNT = "a whole number from 0 to 2147483647"
_MEANT = {
    "max_tokens": "a whole number from 1 to 2147483647",
    "temperature": "a number from 0 to 5",
    "top_k": _COUNT,
    "top_p": "a number above 0 and at most 1",
    "min_p": "a number from 0 to below 1",
    "repetition_penalty": "a number above 0 and at most 10",
    "presence_penalty": "a number from -2 to 2",
    "frequency_penalty": "a number from -2 to 2",
    "seed": f"a whole number from 0 to {2**64 - 1}",
    "logprobs": "a whole number from 0 to 20",
    "ignore_eos": "True or False",
    "stop": "a text, or a list of texts",
    "after_token": _COUNT,
    "at_token": _COUNT,
    "at_turn": _COUNT,
    "token_ids": "whole numbers from 0 to 2147483647",
}


def bad(field: str, problem: str) -> InvalidArgumentError:
    """The error about one field, by the name that the caller gave it."""
    return InvalidArgumentError(f"{field}: {problem}.", ErrorDetails(fields=(field,)))


def unfit(field: str, value: object, error: Exception) -> InvalidArgumentError:
    """The error about a value that protobuf would not take; its own words speak of its inside."""
    if isinstance(error, UnicodeError):
        return bad(field, "the text is not valid Unicode")
    return bad(field, f"must be {_MEANT.get(field, _TEXT)}; got {reprlib.repr(value)}")


def check_timeout(seconds: object) -> None:
    """Raises InvalidArgumentError if no call can be given that long. `None` is no limit."""
    if seconds is None:
        return
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds <= 0:
        raise bad("timeout", f"must be a number of seconds above 0, or None for no limit; got {seconds!r}")


def fill(message: Any, values: Mapping[str, Any], prefix: str = "") -> None:
    """Set a message's fields. Raises InvalidArgumentError for a value that one cannot hold, by `prefix` and name."""
    for name, value in values.items():
        try:
            setattr(message, name, value)
        except (TypeError, ValueError) as error:
            raise unfit(prefix + name, value, error) from None


def extend(field: Any, values: Any, name: str) -> None:
    """Add to a repeated field. Raises InvalidArgumentError for a value that it cannot hold."""
    try:
        field.extend(values)
    except (TypeError, ValueError) as error:
        raise unfit(name, values, error) from None
