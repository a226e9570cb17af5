"""The ways an answer is shown: as text, as one JSON object, as a JSON line per event."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from autoglmctl.prefill_bar import PrefillBar
from autoglmctl.quantities import milliseconds, rate

if TYPE_CHECKING:
    from autoglmctl.terminal import Terminal
    from openglm import Completion, Event, Started, TokenLogprobs

_EVENT_NAMES = {"PrefillProgress": "prefill"}
# What a reader of the text alone could take for its end.
_CUT_SHORT = {"cancelled": "(cancelled)", "length": "(ended at max_tokens or at the end of the context)"}

_NEW, _UNREADABLE = "new_session", "unreadable"
_ANEW = {
    _NEW: "(the session is gone, and begins anew: this answer knows nothing of what was said)",
    "expired": "(the session was unused for too long, and begins anew)",
    "evicted": "(the session had to make place for others, and begins anew)",
}
_LOST = {
    _UNREADABLE: "(the session cannot be read: this answer knows nothing of it, and is not added to it)",
    "damaged": "(the session's file is damaged: something of what was said may be missing)",
}


class Answer(Protocol):
    """Takes the events of one stream."""

    @property
    def text(self) -> str:
        """The text that came so far."""
        ...

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody ended the answer before its time; known once it has ended."""
        ...

    @property
    def began_anew(self) -> bool:
        """Whether what was said before in the session was gone; known once it has ended."""
        ...

    @property
    def stands_alone(self) -> bool:
        """Whether the session could not be read, and is as it was before; known once it has ended."""
        ...

    @property
    def dropped_messages(self) -> int:
        """How many of the conversation's oldest messages are gone; known once it has ended."""
        ...

    def add(self, event: Event) -> None:
        """Show the next event."""
        ...

    def finish(self) -> None:
        """The stream has ended well."""
        ...

    def close(self) -> None:
        """The stream has ended, however it did."""
        ...


class _Collector:
    """Adds the events up. Mutable: owned by one answer."""

    def __init__(self, terminal: Terminal) -> None:
        # Not at the top: the client takes gRPC with it, which `--help` need not wait for.
        from openglm import CompletionBuilder

        self._terminal = terminal
        self._builder = CompletionBuilder()

    @property
    def text(self) -> str:
        """The text that came so far."""
        return self._builder.text

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody ended the answer before its time; known once it has ended."""
        from openglm import FinishReason

        return self._builder.build().finish_reason is FinishReason.CANCELLED

    @property
    def began_anew(self) -> bool:
        """Whether what was said before in the session was gone; known once it has ended."""
        return self._builder.build().started.cache_miss in _ANEW

    @property
    def stands_alone(self) -> bool:
        """Whether the session could not be read, and is as it was before; known once it has ended."""
        return self._builder.build().started.cache_miss == _UNREADABLE

    @property
    def dropped_messages(self) -> int:
        """How many of the conversation's oldest messages are gone; known once it has ended."""
        return self._builder.build().started.dropped_messages

    def close(self) -> None:
        """Nothing is open."""


class TextAnswer(_Collector):
    """Text to stdout as it comes, the prefill's progress to stderr.

    With `goes_on`, something was said before in the session, and it is news that there is no such session.
    """

    def __init__(self, terminal: Terminal, *, stats: bool = False, goes_on: bool = False) -> None:
        super().__init__(terminal)
        self._bar = PrefillBar(terminal)
        self._stats = stats
        self._goes_on = goes_on
        self._last = "\n"

    def add(self, event: Event) -> None:
        """Write a token's text; move the bar."""
        from openglm import PrefillProgress, Started, Token

        self._builder.add(event)
        if isinstance(event, Started):
            self._say_what_is_missing(event)
        elif isinstance(event, PrefillProgress):
            self._bar.show(event.done_tokens, event.total_tokens)
        elif isinstance(event, Token) and event.text:
            self._bar.close()
            # Before the text is seen: Ctrl-C may come at any moment after it.
            self._last = event.text[-1]
            self._terminal.write(event.text)

    def _say_what_is_missing(self, started: Started) -> None:
        lost = (_ANEW | _LOST).get(started.cache_miss)
        if lost and (self._goes_on or started.cache_miss != _NEW):
            self._terminal.remark(lost)
        if started.dropped_messages:
            self._terminal.remark(f"(the context is full: the oldest {started.dropped_messages} messages were dropped)")
        if started.unsaved_seconds:
            self._terminal.remark(
                f"(the daemon's disk has taken no conversations for {started.unsaved_seconds:.0f} s: "
                "this one is lost if the daemon ends; see its log)"
            )

    def finish(self) -> None:
        """Print what was asked for beside the text."""
        self._end_line()
        completion = self._builder.build()
        if completion.finish_reason in _CUT_SHORT:
            self._terminal.remark(_CUT_SHORT[completion.finish_reason])
        if completion.logprobs:
            self._terminal.print(logprob_table(completion.logprobs))
        if self._stats:
            self._terminal.remark(stats_line(completion))

    def close(self) -> None:
        """Leave the terminal at the beginning of a line, without a bar."""
        self._bar.close()
        self._end_line()

    def _end_line(self) -> None:
        if self._last != "\n":
            self._last = "\n"
            self._terminal.write("\n")


class JsonAnswer(_Collector):
    """One JSON object at the end."""

    def add(self, event: Event) -> None:
        """Keep it."""
        self._builder.add(event)

    def finish(self) -> None:
        """Print the whole answer."""
        self._terminal.print_json(completion_body(self._builder.build()))


class JsonLines(_Collector):
    """One JSON line per event, each with its kind under "event"."""

    def add(self, event: Event) -> None:
        """Print it."""
        self._builder.add(event)
        name = type(event).__name__
        self._terminal.print_json_line({"event": _EVENT_NAMES.get(name, name.lower())} | asdict(event))

    def finish(self) -> None:
        """Finished was the last line."""


def completion_body(completion: Completion) -> dict[str, Any]:
    """The answer as --json prints it: flat, with usage and timings as objects."""
    finished = asdict(completion.finished)
    return {
        "text": completion.text,
        "ids": completion.ids,
        "logprobs": [asdict(entry) for entry in completion.logprobs],
        "finish_reason": finished["reason"],
        "stop": finished["stop"],
        "usage": finished["usage"],
        "timings": finished["timings"],
    } | {name: asdict(completion.started)[name] for name in _STARTED}


_STARTED = (
    "request_id",
    "model",
    "model_version",
    "seed",
    "trace_id",
    "cache_tier",
    "cache_miss",
    "dropped_messages",
    "unsaved_seconds",
)


def stats_line(completion: Completion) -> str:
    """Counts, times and rates in one line."""
    usage, timings = completion.usage, completion.timings
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    first = milliseconds(timings.queue_ms + timings.prefill_ms)
    # The first token is the prefill's; the others took the decode's time.
    speed = rate(usage.output_tokens - 1, timings.decode_ms / 1000)
    return (
        f"{completion.started.model}: prompt {usage.prompt_tokens} tokens{cached}, first token after {first} "
        f"(queue {milliseconds(timings.queue_ms)}), {usage.output_tokens} tokens at {speed} per second, "
        f"{milliseconds(timings.total_ms)} in all, ended by {completion.finish_reason}"
    )


def logprob_table(entries: tuple[TokenLogprobs, ...]) -> Any:
    """One row per token: its text, its log probability, the alternatives."""
    from rich.table import Table

    table = Table("token", "id", "log probability", "alternatives")
    for entry in entries:
        others = "  ".join(f"{other.text!r} {other.logprob:.3f}" for other in entry.top)
        table.add_row(repr(entry.chosen.text), str(entry.chosen.id), f"{entry.chosen.logprob:.3f}", others)
    return table
