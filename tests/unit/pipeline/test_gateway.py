"""The gateway: streams open, end and leave nothing behind, whoever ends them."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from autoglmd.errors.availability import ModelNotReadyError, QueueFullError, UnavailableError
from autoglmd.errors.request import ModelNotFoundError, PromptTooLongError, RequestIdInUseError
from autoglmd.host.clock import SystemClock
from autoglmd.messages.generation import FinishReason, Started, TextPrompt, TokenPrompt, TokenText
from autoglmd.messages.sessions import SessionKey
from autoglmd.messages.status import ModelState
from autoglmd.pipeline.detokenizer import Detokenizer
from tests.support.conversations import empty
from tests.support.fake_runner import expected_tokens
from tests.support.fake_served import CONTEXT
from tests.support.fixture_models import VOCABULARY
from tests.support.gateway_rig import LIMIT_SECONDS, PROMPT, GatewayRig, end_of
from tests.support.session_stores import store_in


async def test_a_request_becomes_a_stream_of_text(rig: GatewayRig) -> None:
    """Started, the answer's tokens, Finished; afterwards nothing is left of it."""
    events = await rig.read(rig.request("r"))
    ids = [token for event in events if isinstance(event, TokenText) for token in event.ids]
    assert ids == expected_tokens(PROMPT, 5, VOCABULARY)
    assert end_of(events).reason is FinishReason.LENGTH
    rig.assert_empty()


async def test_an_id_can_be_used_again_as_soon_as_its_stream_is_closed(rig: GatewayRig) -> None:
    """A client that leaves in the middle and asks again under the same id gets the new answer, not the old one's."""
    first = rig.gateway.generate(rig.request("r", 100))
    assert isinstance(await anext(first), Started)
    await first.aclose()
    events = await rig.read(rig.request("r", 3))
    ids = [token for event in events if isinstance(event, TokenText) for token in event.ids]
    assert ids == expected_tokens(PROMPT, 3, VOCABULARY)
    assert end_of(events).reason is FinishReason.LENGTH


async def test_a_client_that_leaves_before_its_turn_leaves_nothing(rig: GatewayRig) -> None:
    """Cancelling the task that waits for the first event gives everything back."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*tasks, return_exceptions=True)
    )
    rig.assert_empty()
    rig.runner.gate.set()
    await rig.settle()
    assert rig.served.engine.stats.output_tokens <= 2 * len(rig.runner.kv), "only the step that was running"


async def test_a_running_request_can_be_cancelled_by_its_id(rig: GatewayRig) -> None:
    """Its stream ends with CANCELLED; another's does not."""
    await rig.hold()
    gone, kept = rig.start("gone"), rig.start("kept", 5)
    await rig.wait_held()
    assert rig.gateway.cancel("gone", None)
    rig.runner.gate.set()
    assert end_of(await gone).reason is FinishReason.CANCELLED
    assert end_of(await kept).reason is FinishReason.LENGTH
    assert not rig.gateway.cancel("gone", None)


async def test_a_request_far_back_in_the_line_is_cancelled_at_once(rig: GatewayRig) -> None:
    """It ends although rows, prefetched places and the engine are all held up by others."""
    await rig.hold()
    tasks = [rig.start(f"r{number}") for number in range(6)]
    await rig.wait_held()
    assert rig.gateway.cancel("r5", None)
    finished = end_of(await tasks[5])
    assert finished.reason is FinishReason.CANCELLED
    assert (finished.usage.prompt_tokens, finished.usage.output_tokens) == (0, 0)
    rig.runner.gate.set()
    assert {end_of(events).reason for events in await asyncio.gather(*tasks[:5])} == {FinishReason.LENGTH}


async def test_everyone_without_a_row_is_counted_as_waiting(rig: GatewayRig) -> None:
    """Also those whom the engine does not know yet, because no more than two are prefetched."""
    await rig.hold()
    tasks = [rig.start(f"r{number}", 3) for number in range(6)]
    await rig.wait_held()
    stats = rig.served.stats
    assert (stats.waiting, stats.rows_in_use) == (6, 0)  # as of the last step, which gave nobody a row
    rig.runner.gate.set()
    await asyncio.gather(*tasks)
    assert rig.served.stats.waiting == 0


def finished_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, int]]:
    """Reason, prompt tokens and output tokens of every "finished" in the log."""
    found = [vars(record) for record in caplog.records if record.getMessage() == "finished"]
    return [(line["reason"], line["prompt_tokens"], line["output_tokens"]) for line in found]


async def test_a_request_logs_its_end_once(rig: GatewayRig, caplog: pytest.LogCaptureFixture) -> None:
    """One that was answered; one that was refused has none."""
    caplog.set_level(logging.INFO)
    await rig.read(rig.request("r"))
    with pytest.raises(PromptTooLongError):
        await rig.read(rig.request("long", CONTEXT))
    with pytest.raises(ModelNotFoundError):
        await rig.read(rig.request("lost", model="nobody"))
    assert finished_lines(caplog) == [("length", 3, 5)]


async def test_a_client_that_vanishes_leaves_one_line(rig: GatewayRig, caplog: pytest.LogCaptureFixture) -> None:
    """From the middle of its answer, and from the line, where nobody has counted its prompt yet."""
    caplog.set_level(logging.INFO)
    async with contextlib.aclosing(rig.gateway.generate(rig.request("gone", 100))) as events:
        read = 0
        async for event in events:
            read += len(event.ids) if isinstance(event, TokenText) else 0
            if read >= 3:
                break
    await rig.hold()
    tasks = [rig.start(f"r{number}", 3) for number in range(6)]
    await rig.wait_held()
    tasks[5].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[5]
    rig.runner.gate.set()
    await asyncio.gather(*tasks[:5])
    assert finished_lines(caplog) == [("cancelled", 3, read), ("cancelled", 0, 0), *[("length", 3, 3)] * 5]


async def test_a_defect_of_ours_is_logged_as_an_error(
    rig: GatewayRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a client that left; and nothing stays of the request."""

    def broken(_detokenizer: Detokenizer, token_id: int) -> str:
        raise LookupError(token_id)

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Detokenizer, "push", broken)
    with pytest.raises(LookupError):
        await rig.read(rig.request("r", 100))
    assert finished_lines(caplog) == [("error", 3, 1)]
    rig.assert_empty()


async def test_a_full_line_refuses_before_the_first_event(rig: GatewayRig) -> None:
    """Two rows and four places are taken; the seventh is told so and takes nothing."""
    await rig.hold()
    tasks = [rig.start(f"r{number}", 3) for number in range(6)]
    await rig.wait_held()
    with pytest.raises(QueueFullError):
        await rig.read(rig.request("late"))
    rig.runner.gate.set()
    await asyncio.gather(*tasks)
    assert end_of(await rig.read(rig.request("late"))).reason is FinishReason.LENGTH


async def test_a_running_id_is_refused_and_the_running_one_goes_on(rig: GatewayRig) -> None:
    """The refusal of the second does not close the first."""
    await rig.hold()
    task = rig.start("r", 3)
    await rig.wait_held()
    with pytest.raises(RequestIdInUseError):
        await rig.read(rig.request("r"))
    rig.runner.gate.set()
    assert end_of(await task).reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "nobody"}, ModelNotFoundError),
        ({"model": "other"}, ModelNotReadyError),
        ({"prompt": TokenPrompt((1,) * (CONTEXT + 1))}, PromptTooLongError),
        ({"max_tokens": CONTEXT}, PromptTooLongError),
    ],
)
async def test_what_cannot_be_served_is_refused_and_leaves_nothing(
    rig: GatewayRig, changes: dict[str, object], error: type[Exception]
) -> None:
    """Unknown, not loaded, too long: raised before the first event."""
    with pytest.raises(error):
        await rig.read(rig.request("r", **changes))  # type: ignore[arg-type]
    rig.assert_empty()


async def test_a_deadline_ends_the_stream(rig: GatewayRig) -> None:
    """A deadline that has passed ends the request with DEADLINE at the engine's next step."""
    events = await rig.read(rig.request("r", 100, deadline=SystemClock().monotonic()))
    assert end_of(events).reason is FinishReason.DEADLINE


async def test_a_stop_string_frees_the_row(rig: GatewayRig) -> None:
    """The stream finishes with its stop string, and the engine is told to go no further."""
    ids = expected_tokens(PROMPT, 100, VOCABULARY)
    text = rig.served.rules.tokenizer.decode(ids)
    stop = next(text[start : start + 3] for start in range(20, 60) if text[start : start + 3].isascii())
    events = await rig.read(rig.request("r", 100, stop=(stop,)))
    assert (end_of(events).reason, end_of(events).stop) == (FinishReason.STOP, stop)


async def test_tokenize_gives_ids_and_pieces_of_a_prompt(rig: GatewayRig) -> None:
    """Each id has its piece of text; the pieces of whole characters make the text again."""
    tokens = await rig.gateway.tokenize("", TextPrompt("hello there"))
    assert "".join(tokens.pieces) == "hello there"
    assert len(tokens.ids) == len(tokens.pieces)


async def test_the_catalog_is_what_the_operator_sees(rig: GatewayRig) -> None:
    """Models are listed in the configuration's order, each with its state."""
    assert [(info.name, info.state) for info in rig.gateway.models()] == [
        ("tiny", ModelState.READY),
        ("other", ModelState.LOADING),
    ]
    assert rig.gateway.model("").name == "tiny"


async def test_a_session_is_refused_for_now_while_another_daemon_has_the_folder(tmp_path: Path) -> None:
    """In a way that says to come back; who needs no session is answered, and the session is there afterwards."""
    old = store_in(tmp_path)
    rig = GatewayRig(tmp_path)
    assert rig.book is not None
    asked = rig.request("a", session=SessionKey("local", "s"))
    with pytest.raises(UnavailableError, match="Try again"):
        await rig.read(asked)
    assert end_of(await rig.read(rig.request("b"))).reason is FinishReason.LENGTH
    old.close()
    # Whatever is saved is saved behind the opening.
    rig.book.commit(empty(SessionKey("local", "other")))
    assert await asyncio.to_thread(rig.book.flush, LIMIT_SECONDS)
    assert end_of(await rig.read(asked)).reason is FinishReason.LENGTH
    rig.assert_empty()
    assert await asyncio.to_thread(rig.served.stop, LIMIT_SECONDS)
    assert await asyncio.to_thread(rig.book.stop, LIMIT_SECONDS)
