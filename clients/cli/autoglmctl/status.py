"""autoglmctl status: what the daemon does now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoglmctl.invocation import Invocation
from autoglmctl.quantities import byte_count, counted, duration, rate

if TYPE_CHECKING:
    from openglm import Client, DaemonStatus, EngineStatus, SessionsStatus

_PAUSE_SECONDS = 0.1


def status(
    invocation: Invocation,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait at most that long until it serves.")
    ] = 0.0,
) -> None:
    """Show the daemon's state, its models and its engines' counters."""
    answer = _when_serving(invocation.client, time.monotonic() + wait)
    invocation.show(answer, lambda: _tables(answer))


def _when_serving(connect: Callable[[], Client], deadline: float) -> DaemonStatus:
    """Ask until the daemon serves; at the deadline its last answer, or the error that there was none, stands.

    Each time anew: which of the default places is the daemon's, a client sees only when its socket is there.
    """
    from openglm import AccessDeniedError, UnavailableError

    while True:
        late = time.monotonic() >= deadline
        try:
            with connect() as client:
                answer = client.status()
            if answer.state == "serving" or late:
                return answer
        except (UnavailableError, AccessDeniedError):
            # A socket is its daemon's alone until it has been opened to its group.
            if late:
                raise
        # Who is not there yet cannot tell when he will be.
        time.sleep(_PAUSE_SECONDS)


def _tables(answer: DaemonStatus) -> Iterator[Any]:
    from autoglmctl.model_tables import model_overview

    yield (
        f"autoglmd {answer.version}: {answer.state}, up {duration(answer.uptime_seconds)}, pid {answer.pid}, "
        f"{byte_count(answer.resident_bytes)} resident"
    )
    yield f"onnxruntime {answer.onnxruntime_version} with {', '.join(answer.available_providers)}"
    yield f"{answer.open_streams} open streams, {answer.refused} refused since the start"
    if answer.sessions is not None:
        yield from _session_lines(answer.sessions)
    yield ""
    yield from model_overview(answer.models)
    if answer.engines:
        yield ""
        yield _engine_table(answer.engines)


def _session_lines(kept: SessionsStatus) -> Iterator[str]:
    on_disk = f"{counted(kept.sessions, 'session')}, {byte_count(kept.disk_bytes)} on disk"
    yield f"{on_disk}; {kept.memory_sessions} in memory, {byte_count(kept.memory_bytes)}"
    found = kept.from_rows + kept.from_memory + kept.from_disk
    if found or kept.misses:
        where = f"{kept.from_rows} from rows, {kept.from_memory} from memory, {kept.from_disk} from disk"
        yield (
            f"{counted(found, 'request')} went on from what was kept ({where}), {kept.misses} found less than there "
            f"could have been; {counted(kept.resumed, 'answer')} taken up again"
        )
    if kept.unsaved_sessions:
        unsaved = f"unsaved: {counted(kept.unsaved_sessions, 'session')}, for {duration(kept.unsaved_seconds)}"
        yield f"{unsaved}; {counted(kept.failed_saves, 'save')} failed"


def _engine_table(engines: tuple[EngineStatus, ...]) -> Any:
    from autoglmctl.model_tables import columns

    headings = ("rows", "waiting", "started", "finished", "prompt/s", "output/s", "steps")
    table = columns("Engines (prompt and output in tokens per second)", "engine", *headings)
    for engine in engines:
        table.add_row(
            engine.model,
            f"{engine.rows_in_use} of {engine.rows}",
            str(engine.waiting),
            str(engine.requests_started),
            str(engine.requests_finished),
            rate(engine.prompt_tokens, engine.prefill_seconds),
            rate(engine.decoded_tokens, engine.decode_seconds),
            str(engine.steps),
        )
    return table
