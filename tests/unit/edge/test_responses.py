"""Messages to protobuf: nothing is lost on the way, and no name is misspelt."""

from dataclasses import fields
from enum import Enum
from typing import Any

import pytest

from autoglmd.edge.responses import event_response, model_response, status_response
from autoglmd.messages.generation import FinishReason, Overflow, Started
from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier
from autoglmd.messages.status import DaemonState, DaemonStatus, EngineStats, ModelInfo, ModelState, SessionsStats
from openglm.v1 import admin_pb2, inference_pb2, models_pb2
from tests.support.fake_gateway import finished


def distinct(kind: Any, **chosen: object) -> dict[str, Any]:
    """A value for each field of a dataclass that no other field of its type has."""
    made: dict[str, Any] = {}
    for position, entry in enumerate(fields(kind), start=1):
        values: dict[Any, Any] = {str: f"text {position}", int: position, bool: True, float: position + 0.5}
        made[entry.name] = chosen.get(entry.name, values.get(entry.type))
    return made


def test_every_fact_of_a_model_arrives() -> None:
    """Field by field, under the same name."""
    facts = distinct(ModelInfo, state=ModelState.FAILED)
    message = model_response(ModelInfo(**facts))
    assert message.state == models_pb2.MODEL_STATE_FAILED
    for name in set(facts) - {"state"}:
        assert getattr(message, name) == facts[name], name


def test_every_counter_of_an_engine_arrives() -> None:
    """Field by field, under the same name."""
    counters = distinct(EngineStats)
    status = DaemonStatus(
        "1",
        DaemonState.DRAINING,
        1.0,
        2,
        3,
        "4",
        (),
        engines=(EngineStats(**counters),),
    )
    message = status_response(status)
    assert message.state == admin_pb2.DAEMON_STATE_DRAINING
    for name, value in counters.items():
        assert getattr(message.engines[0], name) == value, name


def test_what_became_of_a_conversation_is_told() -> None:
    """Where its tokens were, what was missed, and how many messages went."""
    cache = CacheReport(7, CacheTier.DISK, CacheMiss.CONTEXT_MOVED)
    message = event_response(Started("r", "m", "v", 9, cache, 1, "t", dropped_messages=4)).started
    assert (message.cached_tokens, message.dropped_messages) == (7, 4)
    assert message.cache_tier == inference_pb2.CACHE_TIER_DISK
    assert message.cache_miss == inference_pb2.CACHE_MISS_CONTEXT_MOVED


def test_every_figure_of_the_sessions_arrives() -> None:
    """Field by field, under the same name."""
    figures = distinct(SessionsStats)
    status = DaemonStatus("1", DaemonState.SERVING, 1.0, 2, 3, "4", (), sessions=SessionsStats(**figures))
    message = status_response(status).sessions
    assert {field.name for field in message.DESCRIPTOR.fields} == set(figures)
    for name, value in figures.items():
        assert getattr(message, name) == value, name


@pytest.mark.parametrize("reason", FinishReason)
def test_every_reason_has_a_name_on_the_wire(reason: FinishReason) -> None:
    """And the contract has none that we never say."""
    message = event_response(finished(reason))
    assert inference_pb2.FinishReason.Name(message.finished.reason) == f"FINISH_REASON_{reason.name}"


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (FinishReason, inference_pb2.FinishReason, "FINISH_REASON_"),
        (CacheTier, inference_pb2.CacheTier, "CACHE_TIER_"),
        (CacheMiss, inference_pb2.CacheMiss, "CACHE_MISS_"),
        (Overflow, inference_pb2.Overflow, "OVERFLOW_"),
        (ModelState, models_pb2.ModelState, "MODEL_STATE_"),
        (DaemonState, admin_pb2.DaemonState, "DAEMON_STATE_"),
    ],
)
def test_both_sides_have_the_same_enum_members(ours: type[Enum], theirs: Any, prefix: str) -> None:
    """Beside UNSPECIFIED, which we never send."""
    names = {f"{prefix}{member.name}" for member in ours}
    assert set(theirs.keys()) == {*names, f"{prefix}UNSPECIFIED"}
