"""Both clients on a real daemon with a tiny model: what the scripted ones promise, held by the real one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import openglm
from autoglmctl.app import build_app
from openglm import AsyncClient, AutoGLM, Client, Finished, FinishReason, Started

MODEL = Path(__file__).parents[1] / "fixtures" / "models" / "tiny-int8"


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AutoGLM]:
    """AutoGLM with a daemon of its own, `autoglmd serve` as a child."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with AutoGLM(MODEL) as glm:
            yield glm


@pytest.fixture
def client(glm: AutoGLM) -> Client:
    """Its connection."""
    return glm.client


def autoglmctl(client: Client, *words: str, stdin: str = "") -> Result:
    """Run the command against the daemon."""
    return CliRunner().invoke(build_app(), ["--socket", client.address.removeprefix("unix:"), *words], input=stdin)


def test_generate_stream_and_chat_say_the_same(glm: AutoGLM) -> None:
    """One seed, one answer, by whichever road."""
    whole = glm.generate("你好", max_tokens=12, seed=5, temperature=1.0)
    assert "".join(glm.stream("你好", max_tokens=12, seed=5, temperature=1.0)) == whole
    assert glm.chat([{"role": "user", "content": "你好"}], max_tokens=12, seed=5, temperature=1.0) == whole


def test_a_stream_begins_with_started_and_ends_with_finished(client: Client) -> None:
    """Exactly one of each, with the counts in them."""
    with client.stream("hello", max_tokens=4, ignore_eos=True, logprobs=2) as stream:
        events = list(stream)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is FinishReason.LENGTH
    assert (events[0].prompt_tokens, events[-1].usage.output_tokens) == (events[-1].usage.prompt_tokens, 4)


def test_ids_and_logprobs_match(client: Client) -> None:
    """One entry per id, its alternatives best first."""
    completion = client.generate("hello", max_tokens=4, ignore_eos=True, logprobs=3, temperature=0.0)
    assert [entry.chosen.id for entry in completion.logprobs] == list(completion.ids)
    assert all(
        [top.logprob for top in entry.top] == sorted((top.logprob for top in entry.top), reverse=True)
        for entry in completion.logprobs
    )


def test_tokenized_ids_are_the_same_prompt(client: Client) -> None:
    """What Tokenize says is what Generate computes."""
    messages = [openglm.Message("user", "hello")]
    ids = client.tokenize(messages=messages).ids
    chat = client.generate(messages=messages, max_tokens=8, temperature=0.0)
    assert client.generate(token_ids=ids, max_tokens=8, temperature=0.0).ids == chat.ids
    assert chat.usage.prompt_tokens == len(ids)


async def test_concurrent_streams_do_not_change_each_other(client: Client) -> None:
    """Eight at once give what each gives alone."""
    async with AsyncClient(client.address) as many:
        together = await asyncio.gather(
            *(many.generate(f"{n} hello", max_tokens=16, temperature=0.0, ignore_eos=True) for n in range(8))
        )
    for n, answer in enumerate(together):
        assert client.generate(f"{n} hello", max_tokens=16, temperature=0.0, ignore_eos=True).ids == answer.ids


def test_more_requests_than_the_daemon_takes_at_once_are_all_answered(client: Client) -> None:
    """Rows, line and retries together: nobody is lost."""
    done = autoglmctl(client, "bench", "-c", "32", "--requests", "96", "--prompt-tokens", "8", "-n", "8", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["output_tokens"] == 96 * 8


def test_the_daemons_refusals_arrive_typed(client: Client) -> None:
    """Bad field, too long, unknown model, too large: each as its class, with its facts."""
    with pytest.raises(openglm.InvalidArgumentError) as bad:
        client.generate("x", temperature=99)
    assert bad.value.field == "sampling.temperature"
    with pytest.raises(openglm.PromptTooLongError) as long:
        client.generate(token_ids=[5] * 600)
    assert (long.value.prompt_tokens, long.value.limit_tokens) == (600, 512)
    with pytest.raises(openglm.ModelNotFoundError):
        client.generate("x", model="nope")
    with pytest.raises(openglm.MessageTooLargeError):
        client.generate("x" * 5_000_000)


def test_a_running_request_is_cancelled_by_its_id(client: Client) -> None:
    """The stream ends with the reason; a second request of that id is refused while it runs."""
    with client.stream("hello", max_tokens=480, ignore_eos=True, request_id="mine") as stream:
        next(stream)
        with pytest.raises(openglm.RequestIdInUseError):
            client.generate("x", request_id="mine")
        assert client.cancel("mine")
        assert stream.completion().finish_reason is FinishReason.CANCELLED
    assert not client.cancel("mine")


def test_status_and_models_describe_the_daemon(glm: AutoGLM) -> None:
    """The served folder is ready and the default, and no stream stays open."""
    status = glm.client.status()
    assert status.state is openglm.DaemonState.SERVING
    assert [(model.state, model.is_default) for model in status.models] == [(openglm.ModelState.READY, True)]
    assert (glm.client.model().path, glm.client.model().prepared) == (str(MODEL), True)


def test_every_command_works_on_it(client: Client) -> None:
    """Each one exits 0 and prints something."""
    for words in (
        ("generate", "你好", "--max-tokens", "4", "--stats", "--logprobs", "1"),
        ("generate", "你好", "--max-tokens", "4", "--json", "--stream"),
        ("status",),
        ("model", "list"),
        ("model", "inspect"),
        ("tokenize", "你好", "--chat"),
        ("bench", "-c", "2", "-n", "4"),
    ):
        done = autoglmctl(client, *words)
        assert (done.exit_code, bool(done.stdout)) == (0, True), (words, done.stderr)
    chat = autoglmctl(client, "chat", "--max-tokens", "4", "--json", stdin="hello\nagain\n")
    usage = [json.loads(line)["usage"]["prompt_tokens"] for line in chat.stdout.splitlines()]
    assert usage[1] > usage[0]
