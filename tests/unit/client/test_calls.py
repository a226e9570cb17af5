"""Requests as they are built from what the caller said."""

from typing import Any

import pytest

from openglm import Client, InvalidArgumentError, Message
from openglm._calls import Prompt, generate, tokenize


def test_exactly_one_input_is_required() -> None:
    """None, or two, are refused before anything is sent."""
    for prompt in (Prompt(), Prompt("x", [Message("user", "y")]), Prompt("x", token_ids=[1])):
        with pytest.raises(InvalidArgumentError, match="exactly one of"):
            generate(prompt, {})


def test_an_empty_text_is_an_input() -> None:
    """Whether an empty prompt is allowed is the daemon's to say, with its own words."""
    assert generate(Prompt(""), {}).request.WhichOneof("input") == "prompt"


def test_an_empty_chat_is_an_input() -> None:
    """An empty list of messages, too, reaches the daemon."""
    assert generate(Prompt(messages=[]), {}).request.WhichOneof("input") == "chat"


def test_every_option_reaches_its_field() -> None:
    """Each sampling option, and each of the request's own, has a place in the message."""
    sampling = {
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.25,
        "repetition_penalty": 1.5,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.5,
        "seed": 2**64 - 1,
        "logprobs": 2,
    }
    own = {"model": "m", "max_tokens": 4, "session_id": "s", "request_id": "r", "ignore_eos": True}
    options: Any = sampling | own
    request = generate(Prompt("x"), options).request
    assert {name: getattr(request.sampling, name) for name in sampling} == sampling
    assert {name: getattr(request, name) for name in own} == own


def test_stop_is_one_string_or_many() -> None:
    """A single string is not taken apart into characters."""
    assert list(generate(Prompt("x"), {"stop": "ab"}).request.stop) == ["ab"]
    assert list(generate(Prompt("x"), {"stop": ("a", "b")}).request.stop) == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 2**31),
        ("seed", -1),
        ("temperature", "warm"),
        ("top_k", 1.5),
        ("stop", 5),
        ("model", 7),
    ],
)
def test_a_value_that_the_wire_cannot_carry_names_its_field(field: str, value: Any) -> None:
    """Wrong types and sizes are refused here, since the message could not hold them."""
    options: Any = {field: value}
    with pytest.raises(InvalidArgumentError) as caught:
        generate(Prompt("x"), options)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: must be ")
    assert repr(value) in str(caught.value)


def test_a_prompt_that_is_no_text_is_refused_in_our_words() -> None:
    """Protobuf's own speak of built-in operations."""
    prompt: Any = 5
    with pytest.raises(InvalidArgumentError, match=r"^prompt: must be a text; got 5\.$"):
        generate(Prompt(prompt), {})


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "soon"])
def test_a_timeout_is_a_time(seconds: Any) -> None:
    """Of one call, or of every call of a client; None is no limit."""
    with pytest.raises(ValueError, match=r"^timeout: must be") as caught:
        generate(Prompt("x"), {"timeout": seconds})
    assert isinstance(caught.value, InvalidArgumentError)
    with pytest.raises(InvalidArgumentError, match=r"^timeout: must be"):
        Client("/s", timeout=seconds)
    assert generate(Prompt("x"), {"timeout": None}).timeout is None


def test_text_that_is_not_unicode_is_refused() -> None:
    """A lone surrogate, as from undecodable bytes, names the message it stands in."""
    with pytest.raises(InvalidArgumentError, match="not valid Unicode") as caught:
        generate(Prompt(messages=[Message("user", "\udcff")]), {})
    assert caught.value.field == "messages[0].content"


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "user", "content": "x", "name": "y"}, "hello"])
def test_a_message_has_a_role_and_a_content(message: Any) -> None:
    """Anything else is shown in the error."""
    with pytest.raises(InvalidArgumentError, match="a role and a content"):
        generate(Prompt(messages=[message]), {})


def test_token_ids_are_checked() -> None:
    """Ids are integers of the wire's size."""
    with pytest.raises(InvalidArgumentError, match="token_ids"):
        generate(Prompt(token_ids=[1, 2**40]), {})


def test_an_unknown_option_is_a_type_error() -> None:
    """As with any keyword argument that does not exist."""
    options: Any = {"temprature": 1.0}
    with pytest.raises(TypeError, match="temprature"):
        generate(Prompt("x"), options)


def test_token_ids_are_not_tokenized() -> None:
    """There is nothing to do for ids."""
    with pytest.raises(InvalidArgumentError, match="already"):
        tokenize(Prompt(token_ids=[1]), "")
