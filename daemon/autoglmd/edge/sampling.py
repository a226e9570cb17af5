"""The ranges of `Sampling`, as the contract states them."""

import math
from dataclasses import dataclass

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import SamplingParams
from openglm.v1 import inference_pb2


@dataclass(frozen=True, slots=True)
class Range:
    """An interval; which ends belong to it is part of what it says to people."""

    low: float
    high: float
    with_low: bool = True
    with_high: bool = True

    def __contains__(self, value: float) -> bool:
        # NaN compares false to everything, so it is in no range.
        above = value >= self.low if self.with_low else value > self.low
        below = value <= self.high if self.with_high else value < self.high
        return above and below

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        return f"in {'[' if self.with_low else '('}{self.low:g}, {self.high:g}{']' if self.with_high else ')'}"


RANGES: dict[str, Range] = {
    "temperature": Range(0, 5),
    "top_k": Range(0, math.inf),
    "top_p": Range(0, 1, with_low=False),
    "min_p": Range(0, 1, with_high=False),
    "repetition_penalty": Range(0, 10, with_low=False),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "seed": Range(0, math.inf),
    "logprobs": Range(0, 20),
}


def sampling_of(sampling: inference_pb2.Sampling) -> SamplingParams:
    """The checked settings; what the client left out stays `None`.

    Raises:
        InvalidArgumentError: a value is out of its range.
    """
    given = {name: getattr(sampling, name) for name in RANGES if sampling.HasField(name)}
    for name, value in given.items():
        if value not in RANGES[name]:
            raise InvalidArgumentError(f"sampling.{name}", f"must be {RANGES[name]}, not {value:g}.")
    return SamplingParams(**given)
