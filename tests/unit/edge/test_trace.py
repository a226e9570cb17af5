"""W3C Trace Context, as its specification wants it parsed."""

import pytest

from autoglmd.edge.trace import trace_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def header(version: str = "00", trace_id: str = TRACE_ID, span_id: str = SPAN_ID, flags: str = "01") -> str:
    """A header, right in all that is not said."""
    return f"{version}-{trace_id}-{span_id}-{flags}"


@pytest.mark.parametrize("value", [header(), header(version="01") + "-more", header(version="fe", flags="ff")])
def test_a_proper_header_is_continued_with_our_own_span(value: str) -> None:
    """Later versions too, as far as we know them; we answer in ours."""
    trace = trace_of([("other", "x"), ("traceparent", value)])
    assert trace.trace_id == TRACE_ID
    assert trace.span_id != SPAN_ID
    assert trace.traceparent == f"00-{TRACE_ID}-{trace.span_id}-01"


def test_only_the_sampled_flag_is_passed_on() -> None:
    """The others are not defined."""
    assert trace_of([("traceparent", header(flags="fe"))]).traceparent.endswith("-00")


@pytest.mark.parametrize(
    "value",
    [
        "",
        header(version="ff"),
        header(version="0"),
        header(trace_id="0" * 32),
        header(span_id="0" * 16),
        header(trace_id=TRACE_ID.upper()),
        header(trace_id=TRACE_ID[:-1]),
        header(flags="1"),
        header() + "-more",
        header(version="01") + "more",
        header() + "\n",
        header(trace_id="g" * 32),
        b"bytes",
    ],
)
def test_an_improper_header_is_ignored_and_a_fresh_trace_begins(value: str | bytes) -> None:
    """Never refused, never continued."""
    trace = trace_of([("traceparent", value)])
    assert trace.trace_id != TRACE_ID
    assert len(trace.trace_id) == 32
    assert int(trace.trace_id, 16)


def test_two_headers_are_none() -> None:
    """Nobody could say which of them it would be."""
    assert trace_of([("traceparent", header())] * 2).trace_id != TRACE_ID


def test_fresh_traces_differ() -> None:
    """They are random."""
    assert trace_of([]).trace_id != trace_of([]).trace_id
