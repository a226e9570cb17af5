"""autoglmctl bench against a real server on a Unix socket."""

import json
import re

from openglm.v1 import models_pb2
from tests.support.scripted_command import FULL, MODEL, Command, autoglmctl, server
from tests.support.scripted_server import ScriptedServer, answer, finished, started

__all__ = ["autoglmctl", "server"]

LOADING = models_pb2.Model(name="glm-small", state=models_pb2.MODEL_STATE_LOADING)


def serve(server: ScriptedServer, *before: models_pb2.Model) -> None:
    """A model that is ready after it was this."""
    server.answer("GetModel", *[models_pb2.GetModelResponse(model=model) for model in (*before, MODEL)])


def test_bench_measures_every_stream(server: ScriptedServer, autoglmctl: Command) -> None:
    """The load is as asked for, and the summary has the numbers of it."""
    serve(server)
    server.play(*[answer("a", "b", "c")] * 4)
    done = autoglmctl("bench", "--streams", "2", "--requests", "4", "--prompt-tokens", "5", "-n", "3", "--json")
    result = json.loads(done.stdout)
    assert (result["streams"], result["requests"], result["output_tokens"]) == (2, 4, 12)
    prompts = [tuple(request.token_ids.ids) for request in server.requests[1:]]
    assert len(set(prompts)) == 4
    assert {len(prompt) for prompt in prompts} == {5}
    assert all(request.ignore_eos and request.max_tokens == 3 for request in server.requests[1:])


def test_bench_waits_while_the_model_loads(server: ScriptedServer, autoglmctl: Command) -> None:
    """Its vocabulary is asked for when it is known; the wait is no part of any time."""
    serve(server, LOADING)
    server.play(answer("a", "b"))
    done = autoglmctl("bench", "-c", "1", "-n", "2")
    assert (done.exit_code, done.stderr) == (0, "waiting for the model to load ...\nanswering ...\n")


def test_bench_prints_a_table(server: ScriptedServer, autoglmctl: Command) -> None:
    """A person sees first token and rates, and which of them are of all streams together."""
    serve(server)
    server.play(answer("a", "b"))
    shown = autoglmctl("bench", "-c", "1", "-n", "2").stdout
    assert "1 requests, 1 at a time, prompts of 128 tokens, 2 tokens out in all" in shown
    assert re.search(r"time to first token, median, s *│ 0\.\d{3}", shown)
    assert re.search(r"tokens/s, all streams together *│ \d+\.\d", shown)


def test_bench_without_tokens_is_an_error(server: ScriptedServer, autoglmctl: Command) -> None:
    """An empty answer cannot be measured, and is not averaged away."""
    serve(server)
    server.play([started(), finished()])
    done = autoglmctl("bench", "-c", "1")
    assert done.exit_code == 1
    assert "without a single token" in done.stderr


def test_bench_counts_the_refused_and_keeps_what_was_measured(server: ScriptedServer, autoglmctl: Command) -> None:
    """A full line is a result, too; a person reads of it in the title. One minute is longer than a client waits."""
    serve(server)
    for words in ([], ["--json"]):
        server.play([FULL], answer("a", "b"), [FULL])
        done = autoglmctl("bench", "-c", "1", "--requests", "3", "-n", "2", *words)
        assert (done.exit_code, done.stderr) == (0, "answering ...\n")
        if words:
            result = json.loads(done.stdout)
            assert (result["requests"], result["refused"], result["output_tokens"]) == (1, 2, 2)
        else:
            assert "1 requests, 1 at a time" in done.stdout
            assert "2 more were refused" in done.stdout


def test_bench_of_a_daemon_that_refuses_everything_is_its_refusal(server: ScriptedServer, autoglmctl: Command) -> None:
    """Nothing was measured, and trying later helps."""
    serve(server)
    server.play([FULL])
    done = autoglmctl("bench", "-c", "1")
    assert (done.exit_code, done.stderr) == (4, "answering ...\nError: Queue full.\n")
