"""Events that add up to an answer."""

import pytest

from openglm import (
    CompletionBuilder,
    ConnectionLostError,
    Finished,
    FinishReason,
    Logprob,
    PrefillProgress,
    Started,
    Token,
    TokenLogprobs,
)
from openglm._convert import event
from openglm.v1 import inference_pb2


def test_a_builder_adds_up_what_it_is_given() -> None:
    """Ids and log probabilities of all tokens, in order."""
    builder = CompletionBuilder()
    entry = TokenLogprobs(Logprob(1, "a", -1.0))
    for each in (
        Started("r"),
        PrefillProgress(1, 2),
        Token("a", (1,), (entry,)),
        Token("", (2, 3)),
        Finished(FinishReason.LENGTH),
    ):
        builder.add(each)
    completion = builder.build()
    assert (str(completion), completion.ids, completion.logprobs) == ("a", (1, 2, 3), (entry,))
    assert completion.started.request_id == "r"


def test_a_half_answer_is_no_completion() -> None:
    """Without Finished, `build` refuses; the text so far stays readable."""
    builder = CompletionBuilder()
    builder.add(Token("half"))
    assert builder.text == "half"
    with pytest.raises(ConnectionLostError) as caught:
        builder.build()
    assert "autoglmctl status" in caught.value.remedy


def test_an_unknown_event_is_skipped() -> None:
    """A newer daemon may send kinds that this library does not know."""
    assert event(inference_pb2.GenerateResponse()) is None


def test_an_error_finish_carries_its_code() -> None:
    """Finished(ERROR) says the same as the status after it."""
    message = inference_pb2.GenerateResponse(
        finished=inference_pb2.Finished(reason=inference_pb2.FINISH_REASON_ERROR, error_code="ENGINE_FAILED")
    )
    finished = event(message)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.error_code) == (FinishReason.ERROR, "ENGINE_FAILED")
