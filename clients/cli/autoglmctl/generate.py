"""autoglmctl generate: one prompt, and its answer as it comes."""

import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from autoglmctl import exit_codes
from autoglmctl.answers import Answer, JsonAnswer, JsonLines, TextAnswer
from autoglmctl.failures import CommandError
from autoglmctl.interruption import cancelled_by_ctrl_c
from autoglmctl.invocation import Invocation
from autoglmctl.options import SESSION_HELP, ModelOption, SamplingOptions

_NOT_OF_THE_REQUEST = ("raw", "system", "stats", "stream")


@dataclass(frozen=True)
class RequestOptions:
    """What else a request may say, and how its answer is shown."""

    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be given again.", metavar="TEXT")
    ] = None
    logprobs: Annotated[
        int | None, typer.Option(help="Also print each token's log probability and N alternatives.", metavar="N")
    ] = None
    session_id: Annotated[str | None, typer.Option("--session", help=SESSION_HELP, metavar="NAME")] = None
    request_id: Annotated[str | None, typer.Option(help="A name for this request.", metavar="ID")] = None
    timeout: Annotated[float | None, typer.Option(help="Give up after this many seconds.")] = None
    system: Annotated[str | None, typer.Option(help="A system message before the prompt.")] = None
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as it stands: no chat template.")] = False
    stats: Annotated[bool, typer.Option("--stats", help="Print counts and times to stderr.")] = False
    stream: Annotated[bool, typer.Option("--stream", help="With --json: one line per event, as they come.")] = False


def generate(
    invocation: Invocation,
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.", metavar="PROMPT")],
    model: ModelOption,
    sampling: SamplingOptions,
    how: RequestOptions,
) -> None:
    """Ask, and print the answer as it comes.

    The prompt is sent as a user's message, through the model's chat template. Ctrl-C ends the generation.
    """
    options = asdict(model) | sampling.given() | _request(how)
    answer = _answer(invocation, how)
    try:
        _ask(invocation, answer, _input(prompt, how) | options)
    except KeyboardInterrupt:
        invocation.terminal.remark("(stopped)")
        raise
    if answer.was_cancelled:
        # By its request id, or by the daemon's operator: half an answer is no success.
        raise typer.Exit(exit_codes.ERROR)


def read_prompt(prompt: str) -> str:
    """The prompt, or standard input where it is "-". Raises CommandError if there is nothing in it."""
    text = _standard_input() if prompt == "-" else prompt
    if not text:
        raise CommandError("Say something: the prompt is empty.", exit_codes.USAGE)
    return text


def _ask(invocation: Invocation, answer: Answer, request: dict[str, Any]) -> None:
    with invocation.client() as client:
        stream = client.stream(**request)
        with cancelled_by_ctrl_c(stream.cancel), closing(answer), stream:
            for event in stream:
                answer.add(event)
            answer.finish()


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        message = f"Standard input is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}."
        raise CommandError(message, exit_codes.USAGE) from error


def _input(prompt: str, how: RequestOptions) -> dict[str, Any]:
    text = read_prompt(prompt)
    if how.raw and how.system is not None:
        raise CommandError("--system needs the chat template, and --raw goes without it.", exit_codes.USAGE)
    if how.raw:
        return {"prompt": text}
    system = [] if how.system is None else [{"role": "system", "content": how.system}]
    return {"messages": [*system, {"role": "user", "content": text}]}


def _request(how: RequestOptions) -> dict[str, Any]:
    return {name: value for name, value in asdict(how).items() if name not in _NOT_OF_THE_REQUEST and value is not None}


def _answer(invocation: Invocation, how: RequestOptions) -> Answer:
    if how.stream and not invocation.json:
        raise CommandError("--stream is for --json; text always comes as it is made.", exit_codes.USAGE)
    if not invocation.json:
        return TextAnswer(invocation.terminal, stats=how.stats)
    return JsonLines(invocation.terminal) if how.stream else JsonAnswer(invocation.terminal)
