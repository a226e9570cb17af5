"""What a benchmark's streams measured, added up. Arithmetic only: no clock, no network."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """One stream, by the client's monotonic clock in seconds.

    Attributes:
        begun: when the request was sent.
        first: when its first token came.
        last: when its last token came.
        tokens: how many came.
    """

    begun: float
    first: float
    last: float
    tokens: int

    @property
    def time_to_first(self) -> float:
        """Seconds from the request to the first token."""
        return self.first - self.begun

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token; zero if there was no second."""
        return (self.tokens - 1) / (self.last - self.first) if self.last > self.first else 0.0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All streams of a benchmark. Times in seconds, rates in tokens per second.

    `requests` are those that were answered, `refused` those that the daemon had no room for.
    `total_tokens_per_second` is all tokens over the time from the first request to the last token.
    """

    streams: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    seconds: float
    ttft_p50: float
    ttft_p95: float
    stream_tokens_per_second_p50: float
    stream_tokens_per_second_min: float
    total_tokens_per_second: float
    refused: int = 0


def summarize(times: Sequence[StreamTimes], streams: int, prompt_tokens: int, refused: int = 0) -> BenchResult:
    """Add up what at least one stream measured; `prompt_tokens` is per request."""
    seconds = max(each.last for each in times) - min(each.begun for each in times)
    tokens = sum(each.tokens for each in times)
    first = [each.time_to_first for each in times]
    speeds = [each.tokens_per_second for each in times]
    return BenchResult(
        streams=streams,
        requests=len(times),
        prompt_tokens=prompt_tokens,
        output_tokens=tokens,
        seconds=seconds,
        ttft_p50=percentile(first, 50),
        ttft_p95=percentile(first, 95),
        stream_tokens_per_second_p50=percentile(speeds, 50),
        stream_tokens_per_second_min=min(speeds),
        total_tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
        refused=refused,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile with linear interpolation between the nearest ranks (Hyndman and Fan's method 7)."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
