"""autoglmctl against a real server on a Unix socket, command by command."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoglmctl.app import build_app
from openglm.v1 import admin_pb2, inference_pb2, models_pb2
from tests.support.scripted_command import FULL, MODEL, Command, autoglmctl, server
from tests.support.scripted_server import (
    ScriptedServer,
    answer,
    finished,
    prefill,
    refusal,
    started,
    token,
)

__all__ = ["autoglmctl", "server"]


def test_generate_prints_the_answer_and_ends_its_line(server: ScriptedServer, autoglmctl: Command) -> None:
    """The text alone goes to stdout, so that it can be piped on."""
    server.play(answer("你", "好"))
    done = autoglmctl("generate", "你是谁", "--max-tokens", "4", "--temperature", "0", "--seed", "3", "--stop", "!")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "你好\n", "")
    request = server.requests[0]
    assert [(turn.role, turn.content) for turn in request.chat.messages] == [("user", "你是谁")]
    assert (request.max_tokens, request.sampling.seed, list(request.stop)) == (4, 3, ["!"])
    assert request.sampling.HasField("temperature")


def test_generate_sends_only_the_options_that_were_given(server: ScriptedServer, autoglmctl: Command) -> None:
    """Defaults are the daemon's, not the command's."""
    server.play(answer("ok"))
    autoglmctl("generate", "x")
    assert server.requests[0].sampling == inference_pb2.Sampling()
    assert not server.requests[0].HasField("max_tokens")


def test_generate_raw_sends_the_prompt_as_it_stands(server: ScriptedServer, autoglmctl: Command) -> None:
    """No chat template with --raw."""
    server.play(answer("ok"))
    autoglmctl("generate", "--raw", "Once upon")
    assert server.requests[0].prompt == "Once upon"


def test_generate_puts_the_system_message_first(server: ScriptedServer, autoglmctl: Command) -> None:
    """--system goes before the prompt; with --raw there is no place for it."""
    server.play(answer("ok"))
    autoglmctl("generate", "--system", "Be brief.", "x")
    assert [turn.role for turn in server.requests[0].chat.messages] == ["system", "user"]
    assert autoglmctl("generate", "--system", "Be brief.", "--raw", "x").exit_code == 2


def test_generate_reads_a_dash_from_stdin(server: ScriptedServer, autoglmctl: Command) -> None:
    """Long prompts come through a pipe."""
    server.play(answer("ok"))
    autoglmctl("generate", "-", stdin="第一行\n第二行")
    assert server.requests[0].chat.messages[0].content == "第一行\n第二行"


def test_stdin_that_is_not_text_is_a_usage_error(autoglmctl: Command) -> None:
    """The first bad byte is named."""
    done = autoglmctl("generate", "-", stdin=b"ab\xff")
    assert (done.exit_code, done.stderr) == (2, "Error: Standard input is not UTF-8 text: byte 2 is 0xff.\n")


@pytest.mark.parametrize("words", [["generate", ""], ["generate", "-"], ["tokenize", ""]])
def test_an_empty_prompt_is_a_usage_error(autoglmctl: Command, words: list[str]) -> None:
    """Said in a sentence, before anybody is asked."""
    done = autoglmctl(*words, stdin="")
    assert (done.exit_code, done.stderr) == (2, "Error: Say something: the prompt is empty.\n")


def test_generate_json_is_one_object(server: ScriptedServer, autoglmctl: Command) -> None:
    """Everything that is known of the answer, under stable names."""
    server.play([started(), prefill(1, 2), token("a", 5, logprob=-0.5), finished("LENGTH")])
    done = autoglmctl("generate", "x", "--json", "--logprobs", "0")
    body = json.loads(done.stdout)
    assert (body["text"], body["ids"], body["finish_reason"], body["seed"]) == ("a", [5], "length", 7)
    assert body["usage"]["output_tokens"] == 2
    assert body["timings"]["total_ms"] == 6
    assert body["logprobs"][0]["chosen"]["logprob"] == -0.5


def test_generate_json_stream_is_a_line_per_event(server: ScriptedServer, autoglmctl: Command) -> None:
    """Each line has its kind under "event"."""
    server.play([started(), prefill(1, 2), token("a", 5), finished()])
    done = autoglmctl("--json", "generate", "x", "--stream")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["started", "prefill", "token", "finished"]
    assert events[3]["reason"] == "stop"


def test_stream_without_json_is_a_usage_error(autoglmctl: Command) -> None:
    """Text streams anyway."""
    assert autoglmctl("generate", "x", "--stream").exit_code == 2


@pytest.mark.parametrize(
    ("reason", "exit_code", "remark"),
    [("CANCELLED", 1, "(cancelled)\n"), ("LENGTH", 0, "(ended at max_tokens or at the end of the context)\n")],
)
def test_half_an_answer_is_called_so(
    server: ScriptedServer, autoglmctl: Command, reason: str, exit_code: int, remark: str
) -> None:
    """Text alone would pass for a whole answer; what somebody cancelled is no success, in JSON either."""
    server.play(*[[started(), token("Half an ans", 5), finished(reason)]] * 3)
    done = autoglmctl("generate", "x")
    assert (done.exit_code, done.stdout, done.stderr) == (exit_code, "Half an ans\n", remark)
    for words in (["--json"], ["--json", "--stream"]):
        done = autoglmctl("generate", "x", *words)
        assert (done.exit_code, done.stderr) == (exit_code, "")
        assert reason.lower() in done.stdout


def test_stats_go_to_stderr(server: ScriptedServer, autoglmctl: Command) -> None:
    """Counts, times and rates in one line, apart from the answer."""
    server.play(answer("ok"))
    done = autoglmctl("generate", "x", "--stats")
    assert done.stdout == "ok\n"
    assert "prompt 3 tokens" in done.stderr
    assert "2 tokens at 333.3 per second" in done.stderr


def test_logprobs_are_a_table_after_the_answer(server: ScriptedServer, autoglmctl: Command) -> None:
    """One row per token."""
    server.play([started(), token("a", 5, logprob=-0.5), finished()])
    done = autoglmctl("generate", "x", "--logprobs", "0")
    assert re.search(r"'a'.*5.*-0\.500", done.stdout)


def test_a_full_line_is_exit_code_four(server: ScriptedServer, autoglmctl: Command) -> None:
    """A script can tell that trying later helps; the message is one line."""
    server.play([FULL])
    done = autoglmctl("generate", "x")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == "Error: Queue full.\n"


def test_no_daemon_is_exit_code_three(tmp_path: Path) -> None:
    """One line says what is wrong, the next what to do."""
    done = Command(tmp_path / "none")("status")
    assert done.exit_code == 3
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: No daemon answers at")
    assert "systemctl start autoglmd" in second


def test_a_refused_argument_is_a_usage_error(server: ScriptedServer, autoglmctl: Command) -> None:
    """What the daemon calls invalid is the command line's fault."""
    server.play([refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", field="sampling.top_p")])
    assert autoglmctl("generate", "x", "--top-p", "9").exit_code == 2
    server.play([refusal("NOT_FOUND", "MODEL_NOT_FOUND")], [refusal("ABORTED", "SESSION_BUSY")])
    assert autoglmctl("generate", "x", "--model", "none").exit_code == 2
    assert autoglmctl("generate", "x", "--session", "s").exit_code == 2


def test_errors_are_json_with_json(server: ScriptedServer, autoglmctl: Command) -> None:
    """A program gets the code, the message and the wait on stderr."""
    server.play([FULL])
    body = json.loads(autoglmctl("generate", "x", "--json").stderr)["error"]
    assert (body["code"], body["retry_after_seconds"], body["exit_code"]) == ("QUEUE_FULL", 60.0, 4)


def test_two_daemons_are_a_usage_error(autoglmctl: Command) -> None:
    """--socket and --address exclude each other, where neither is the later word."""
    assert autoglmctl("--address", "localhost:1", "status").exit_code == 2
    assert autoglmctl("status", "--address", "localhost:1", "--socket", "/s").exit_code == 2


def test_options_count_after_the_command_too(server: ScriptedServer) -> None:
    """Where the daemon is may be said on either side of the command's name; the later word wins."""
    server.answer("Status", admin_pb2.StatusResponse(pid=42))
    words = ["--socket", "/nowhere", "status", "--socket", str(server.path), "--json"]
    done = CliRunner().invoke(build_app(), words)
    assert json.loads(done.stdout)["pid"] == 42


def test_a_later_socket_takes_the_place_of_an_address(server: ScriptedServer) -> None:
    """They are two ways of saying the same: the later word wins over the other kind, too."""
    server.answer("Status", admin_pb2.StatusResponse(pid=42))
    words = ["--address", "localhost:1", "status", "--socket", str(server.path), "--json"]
    assert json.loads(CliRunner().invoke(build_app(), words).stdout)["pid"] == 42


def test_status_shows_daemon_models_and_engines(server: ScriptedServer, autoglmctl: Command) -> None:
    """A person sees what runs, at a glance."""
    engine = admin_pb2.EngineStatus(
        model="glm-small", rows=8, rows_in_use=3, waiting=2, decoded_tokens=500, decode_seconds=2.0
    )
    status = admin_pb2.StatusResponse(
        version="0.1.0",
        state=admin_pb2.DAEMON_STATE_SERVING,
        uptime_seconds=7300,
        pid=42,
        resident_bytes=123_456_789,
        models=[MODEL],
        engines=[engine],
    )
    server.answer("Status", status)
    shown = autoglmctl("status").stdout
    assert "autoglmd 0.1.0: serving, up 2 h 1 min, pid 42, 123 MB resident" in shown
    assert re.search(r"glm-small \*.*ready.*int8-groups/int8.*12\.3 MB", shown)
    assert re.search(r"glm-small.*3 of 8.*250\.0", shown)


def test_model_list_and_inspect(server: ScriptedServer, autoglmctl: Command) -> None:
    """A served model by its name, or all of them; as tables and as JSON."""
    server.answer("ListModels", models_pb2.ListModelsResponse(models=[MODEL]))
    server.answer("GetModel", models_pb2.GetModelResponse(model=MODEL))
    assert "glm-small *" in autoglmctl("model", "list").stdout
    assert json.loads(autoglmctl("model", "list", "--json").stdout)["models"][0]["state"] == "ready"
    assert "int8-groups, 12.3 MB" in autoglmctl("model", "inspect", "glm-small").stdout
    assert server.requests[-1].name == "glm-small"


def test_tokenize_shows_ids_and_pieces(server: ScriptedServer, autoglmctl: Command) -> None:
    """Also through the chat template, also as JSON."""
    server.answer("Tokenize", inference_pb2.TokenizeResponse(ids=[7, 8], pieces=["你", "好"]))
    assert re.search(r"7.*'你'", autoglmctl("tokenize", "你好").stdout)
    assert json.loads(autoglmctl("tokenize", "你好", "--json").stdout) == {"ids": [7, 8], "pieces": ["你", "好"]}
    autoglmctl("tokenize", "--chat", "你好")
    assert [request.WhichOneof("input") for request in server.requests] == ["prompt", "prompt", "chat"]
