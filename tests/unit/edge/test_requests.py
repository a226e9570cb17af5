"""Which requests are let in, and how the others are named."""

from typing import Any

import pytest

from autoglmd.edge.requests import (
    CallFacts,
    cancelled_request_id,
    generation_request,
    model_name,
    tokenize_prompt,
)
from autoglmd.edge.sampling import RANGES
from autoglmd.errors.request import InvalidArgumentError, NotSupportedError
from autoglmd.messages.generation import ChatPrompt, GenerationRequest, Message, Overflow, TextPrompt, TokenPrompt
from autoglmd.messages.sessions import SessionKey
from openglm.v1 import inference_pb2 as pb

CALL = CallFacts(arrived=100.0, remaining_seconds=2.5, trace_id="t1", tenant=lambda: "local")
LARGEST_INT32 = 2**31 - 1


def convert(**fields: Any) -> GenerationRequest:
    """A request with a prompt, and these fields."""
    return generation_request(pb.GenerateRequest(**{"prompt": "a", **fields}), CALL)


def violation(**fields: Any) -> InvalidArgumentError:
    """How such a request is refused."""
    with pytest.raises(InvalidArgumentError) as caught:
        convert(**fields)
    return caught.value


def test_a_bare_prompt_leaves_everything_to_the_daemon() -> None:
    """Unset is not zero."""
    request = convert()
    assert (request.model, request.max_tokens, request.stop, request.ignore_eos) == ("", None, (), False)
    assert all(getattr(request.sampling, name) is None for name in RANGES)


def test_the_calls_facts_travel_with_the_request() -> None:
    """The deadline is on the clock of the arrival."""
    request = convert()
    assert (request.arrived, request.deadline, request.trace_id) == (100.0, 102.5, "t1")


def test_a_call_without_end_has_no_deadline() -> None:
    """None, not infinity."""
    request = generation_request(pb.GenerateRequest(prompt="a"), CallFacts(100.0, None, "t1", lambda: "local"))
    assert request.deadline is None


def test_each_kind_of_input_becomes_its_own_prompt() -> None:
    """Text, chat, ids."""
    chat = pb.Chat(messages=[pb.Message(role="system"), pb.Message(role="user", content="你好")])
    by_chat = generation_request(pb.GenerateRequest(chat=chat), CALL)
    by_ids = generation_request(pb.GenerateRequest(token_ids=pb.TokenIds(ids=[0, LARGEST_INT32])), CALL)
    assert convert(prompt="你好").prompt == TextPrompt("你好")
    assert by_chat.prompt == ChatPrompt((Message("system", ""), Message("user", "你好")))
    assert by_ids.prompt == TokenPrompt((0, LARGEST_INT32))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GenerateRequest(), "input"),
        (pb.GenerateRequest(prompt=""), "prompt"),
        (pb.GenerateRequest(chat=pb.Chat()), "chat.messages"),
        (pb.GenerateRequest(chat=pb.Chat(messages=[pb.Message(role="user")])), "chat.messages"),
        (pb.GenerateRequest(chat=pb.Chat(messages=[pb.Message(content="a")])), "chat.messages[0].role"),
        (pb.GenerateRequest(token_ids=pb.TokenIds()), "token_ids.ids"),
        (pb.GenerateRequest(token_ids=pb.TokenIds(ids=[1, 2, -1])), "token_ids.ids[2]"),
    ],
)
def test_an_empty_or_impossible_input_is_named(request_: pb.GenerateRequest, field: str) -> None:
    """Down to the element."""
    with pytest.raises(InvalidArgumentError) as caught:
        generation_request(request_, CALL)
    assert caught.value.field == field


NOT_NUMBERS = [float("nan"), float("inf"), float("-inf")]
OUTSIDE: dict[str, list[float]] = {
    "temperature": [-0.1, 5.1, *NOT_NUMBERS],
    "top_k": [-1, -LARGEST_INT32],
    "top_p": [0, -0.1, 1.1, *NOT_NUMBERS],
    "min_p": [-0.1, 1, *NOT_NUMBERS],
    "repetition_penalty": [0, -1, 10.1, *NOT_NUMBERS],
    "presence_penalty": [-2.1, 2.1, *NOT_NUMBERS],
    "frequency_penalty": [-2.1, 2.1, *NOT_NUMBERS],
    "logprobs": [-1, 21],
}
INSIDE: dict[str, list[float]] = {
    "temperature": [0, 5],
    "top_k": [0, LARGEST_INT32],
    "top_p": [0.0001, 1],
    "min_p": [0, 0.999],
    "repetition_penalty": [0.001, 10],
    "presence_penalty": [-2, 2],
    "frequency_penalty": [-2, 2],
    "seed": [0, 2**64 - 1],
    "logprobs": [0, 20],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OUTSIDE.items() for value in values])
def test_a_setting_outside_its_range_is_named_with_the_range(name: str, value: Any) -> None:
    """NaN and the infinities are outside of every range."""
    error = violation(sampling=pb.Sampling(**{name: value}))
    assert error.field == f"sampling.{name}"
    assert "must be " in error.description


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INSIDE.items() for value in values])
def test_a_setting_at_the_end_of_its_range_is_taken(name: str, value: Any) -> None:
    """And an explicit zero is kept apart from unset."""
    request = convert(sampling=pb.Sampling(**{name: value}))
    assert getattr(request.sampling, name) == pytest.approx(value)


def test_every_setting_of_the_contract_has_a_range() -> None:
    """A new one without a check fails here."""
    assert set(RANGES) == {field.name for field in pb.Sampling.DESCRIPTOR.fields}


@pytest.mark.parametrize("max_tokens", [0, -1, -LARGEST_INT32])
def test_max_tokens_below_one_is_refused(max_tokens: int) -> None:
    """Too many is for the context to say, with the counts."""
    assert violation(max_tokens=max_tokens).field == "max_tokens"
    assert convert(max_tokens=LARGEST_INT32).max_tokens == LARGEST_INT32


@pytest.mark.parametrize(("stop", "field"), [(["x"] * 17, "stop"), (["a", ""], "stop[1]"), (["x" * 257], "stop[0]")])
def test_stop_strings_have_bounds(stop: list[str], field: str) -> None:
    """An empty one would stop everything."""
    assert violation(stop=stop).field == field


def test_as_many_and_as_long_stop_strings_as_the_contract_says_are_taken() -> None:
    """Characters, not bytes."""
    assert len(convert(stop=["字" * 256] * 16).stop) == 16


def test_a_chat_has_a_bearable_number_of_messages() -> None:
    """A message of megabytes holds half a million of them, and reading those would hold up everybody."""
    one = pb.Message(role="user", content="x")
    assert convert(chat=pb.Chat(messages=[one] * 1024)).prompt == ChatPrompt((Message("user", "x"),) * 1024)
    error = violation(chat=pb.Chat(messages=[one] * 1025))
    assert (error.field, "has 1025 messages; at most 1024" in error.description) == ("chat.messages", True)


def test_token_ids_are_no_more_than_any_context_holds() -> None:
    """The length is looked at before the ids are."""
    assert violation(token_ids=pb.TokenIds(ids=[1] * ((1 << 20) + 1))).field == "token_ids.ids"


@pytest.mark.parametrize("request_id", ["a b", "a\n", "é", "x" * 129, "\x7f"])
def test_a_request_id_is_short_visible_ascii(request_id: str) -> None:
    """It goes into logs and headers."""
    assert violation(request_id=request_id).field == "request_id"


def test_the_clients_request_id_is_kept_and_a_missing_one_is_drawn() -> None:
    """At its longest, too."""
    assert convert(request_id="!" * 127 + "~").request_id == "!" * 127 + "~"
    assert convert().request_id != convert().request_id


def test_a_session_belongs_to_the_caller() -> None:
    """Its name is for eyes, in any script."""
    assert convert(session_id="客厅 1").session == SessionKey("local", "客厅 1")
    assert convert().session is None


@pytest.mark.parametrize("name", ["x" * 129, "a\nb", "\x00"])
def test_a_name_that_no_terminal_can_show_is_refused(name: str) -> None:
    """It goes into logs and tables."""
    assert violation(session_id=name).field == "session_id"


def test_a_chat_may_be_shortened_and_nothing_else() -> None:
    """A plain prompt has no turns that could be dropped, and a value of a newer contract is not guessed at."""
    chat = pb.Chat(messages=[pb.Message(role="user", content="hi")])
    for option, expected in [(0, Overflow.REFUSE), (1, Overflow.REFUSE), (2, Overflow.DROP_OLDEST)]:
        request = pb.GenerateRequest(chat=chat, overflow=option)  # type: ignore[arg-type]
        assert generation_request(request, CALL).overflow is expected
    assert convert(overflow=pb.OVERFLOW_REFUSE).overflow is Overflow.REFUSE
    assert violation(overflow=pb.OVERFLOW_DROP_OLDEST).field == "overflow"
    assert violation(overflow=7).field == "overflow"


def test_a_models_name_has_a_bearable_length() -> None:
    """It comes back in the error, and the field is named as the request has it."""
    assert model_name("m" * 128) == "m" * 128
    with pytest.raises(InvalidArgumentError) as caught:
        model_name("m" * 129, field="name")
    assert caught.value.field == "name"


def test_tokenize_takes_text_or_a_chat() -> None:
    """With the same checks."""
    chat = pb.Chat(messages=[pb.Message(role="user", content="a")])
    assert tokenize_prompt(pb.TokenizeRequest(prompt="a")) == TextPrompt("a")
    assert tokenize_prompt(pb.TokenizeRequest(chat=chat)) == ChatPrompt((Message("user", "a"),))
    for empty in (pb.TokenizeRequest(), pb.TokenizeRequest(prompt=""), pb.TokenizeRequest(chat=pb.Chat())):
        with pytest.raises(InvalidArgumentError):
            tokenize_prompt(empty)


def test_cancel_needs_an_id_that_could_be_one() -> None:
    """Checked like Generate's."""
    assert cancelled_request_id(pb.CancelRequest(request_id="r1")) == "r1"
    for wrong in ("", "a b"):
        with pytest.raises(InvalidArgumentError) as caught:
            cancelled_request_id(pb.CancelRequest(request_id=wrong))
        assert caught.value.field == "request_id"


def test_a_caller_whom_nobody_can_name_shares_nothing_and_is_served() -> None:
    """A certificate without a name keeps no prompt from being answered; only a session needs an owner."""

    def unnamed() -> str:
        raise NotSupportedError("session_id: the client's certificate has no name.")

    call = CallFacts(arrived=100.0, remaining_seconds=2.5, trace_id="t1", tenant=unnamed)
    assert generation_request(pb.GenerateRequest(prompt="a"), CALL).tenant == "local"
    assert generation_request(pb.GenerateRequest(prompt="a"), call).tenant is None
    with pytest.raises(NotSupportedError, match="no name"):
        generation_request(pb.GenerateRequest(prompt="a", session_id="s"), call)
