"""Log lines."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoglmd.telemetry.log import configure_logging, timestamp
from autoglmd.telemetry.scope import RequestScope, current_scope, name_request, request_scope

log = logging.getLogger("autoglmd.test")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines go."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged; every line must be JSON of its own."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_logger_and_message(stream: io.StringIO) -> None:
    """In RFC 3339 and UTC, whatever the box's time zone."""
    log.info("step %d done", 7)
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "info", "logger": "autoglmd.test", "msg": "step 7 done"}
    assert timestamp(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_extra_fields_keep_their_types(stream: io.StringIO) -> None:
    """Numbers stay numbers; what JSON does not know becomes text."""
    log.info("done", extra={"tokens": 3, "seconds": 0.5, "reason": None, "kind": RuntimeError})
    (line,) = lines(stream)
    assert (line["tokens"], line["seconds"], line["reason"]) == (3, 0.5, None)
    assert line["kind"] == "<class 'RuntimeError'>"


def test_an_extra_field_cannot_hide_our_own(stream: io.StringIO) -> None:
    """It gets a prefix."""
    log.info("done", extra={"level": "fake", "ts": 0})
    (line,) = lines(stream)
    assert (line["level"], line["extra_level"], line["extra_ts"]) == ("info", "fake", 0)


def test_an_exception_is_one_field_of_the_same_line(stream: io.StringIO) -> None:
    """Line-wise readers see one event."""
    log.error("failed", exc_info=ValueError("wrong\nin two lines"))
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["exception"] == "ValueError: wrong\nin two lines"


def test_chinese_is_readable_in_the_log(stream: io.StringIO) -> None:
    """Not escaped."""
    log.info("模型已就绪")
    assert "模型已就绪" in stream.getvalue()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), {1: {2}}])
def test_a_value_that_json_has_no_word_for_costs_no_line(stream: io.StringIO, odd: object) -> None:
    """Rather an odd field than a lost event."""
    log.info("done", extra={"odd": odd})
    (line,) = lines(stream)
    assert line["msg"] == "done"
    assert "odd" in line


def test_a_cycle_costs_no_line(stream: io.StringIO) -> None:
    """Nor a stack."""
    cycle: list[object] = []
    cycle.append(cycle)
    log.info("done", extra={"odd": cycle})
    assert lines(stream)[0]["msg"] == "done"


def test_lines_in_a_scope_carry_its_ids(stream: io.StringIO) -> None:
    """Without being told, and only inside."""
    with request_scope(trace_id="t1"):
        log.info("early")
        name_request("r1")
        log.info("late")
    log.info("outside")
    early, late, outside = lines(stream)
    assert (early["trace_id"], "request_id" in early) == ("t1", False)
    assert (late["trace_id"], late["request_id"]) == ("t1", "r1")
    assert "trace_id" not in outside


def test_what_a_line_says_itself_wins_over_the_scope(stream: io.StringIO) -> None:
    """One request may report on another."""
    with request_scope(request_id="r1"):
        log.info("cancelled", extra={"request_id": "r2"})
    assert lines(stream)[0]["request_id"] == "r2"


def test_scopes_nest_and_do_not_reach_other_threads() -> None:
    """Threads get the ids by `extra`."""
    seen: list[RequestScope] = []
    with request_scope(request_id="r1", trace_id="t1"):
        with request_scope(request_id="r2"):
            assert current_scope().fields == {"request_id": "r2", "trace_id": "t1"}
            thread = threading.Thread(target=lambda: seen.append(current_scope()))
            thread.start()
            thread.join()
        assert current_scope().request_id == "r1"
    assert seen == [RequestScope()]
    assert current_scope() == RequestScope()


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    """Info is on, debug is not."""
    log.debug("detail")
    assert lines(stream) == []


def test_configuring_again_replaces_the_former_settings(stream: io.StringIO) -> None:
    """No line comes twice."""
    other = io.StringIO()
    configure_logging("debug", "text", other)
    log.debug("detail")
    assert stream.getvalue() == ""
    assert other.getvalue().count("detail") == 1


def test_text_lines_are_for_eyes() -> None:
    """One line, fields at its end, the exception below."""
    stream = io.StringIO()
    configure_logging("info", "text", stream)
    with request_scope(request_id="r1"):
        log.info("finished", extra={"output_tokens": 3})
    log.error("failed", exc_info=ValueError("wrong"))
    first, second, *trace = stream.getvalue().splitlines()
    assert first.endswith("INFO    autoglmd.test: finished request_id=r1 output_tokens=3")
    assert second.endswith("ERROR   autoglmd.test: failed")
    assert trace[-1] == "ValueError: wrong"
