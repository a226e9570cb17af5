"""What the fields of a request may hold, in our words: what the message cannot carry never gets to the daemon."""

import math
import reprlib

from openglm._details import ErrorDetails
from openglm._errors import InvalidArgumentError

_TEXT = "a text"
_MEANT = {
    "max_tokens": "a whole number from 1 to 2147483647",
    "temperature": "a number from 0 to 5",
    "top_k": "a whole number from 0 to 2147483647",
    "top_p": "a number above 0 and at most 1",
    "min_p": "a number from 0 to below 1",
    "repetition_penalty": "a number above 0 and at most 10",
    "presence_penalty": "a number from -2 to 2",
    "frequency_penalty": "a number from -2 to 2",
    "seed": f"a whole number from 0 to {2**64 - 1}",
    "logprobs": "a whole number from 0 to 20",
    "ignore_eos": "True or False",
    "stop": "a text, or a list of texts",
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
