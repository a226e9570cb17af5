"""autoglmctl generate: one prompt, and its answer as it comes."""

import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from autoglmctl import exit_codes
from autoglmctl.answering import new_answer, show
from autoglmctl.failures import CommandError
from autoglmctl.invocation import Invocation
from autoglmctl.options import ModelOption, SamplingOptions, SessionOption

_NOT_OF_THE_REQUEST = ("drop_oldest", "raw", "system", "stats", "stream")


@dataclass(frozen=True)
class RequestOptions(SessionOption):
    """What else a request may say, and how its answer is shown."""

    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be given again.", metavar="TEXT")
    ] = None
    logprobs: Annotated[
        int | None, typer.Option(help="Also print each token's log probability and N alternatives.", metavar="N")
    ] = None
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

    The prompt is sent as a user's message, through the model's chat template. Ctrl-C ends the generation. If the daemon
    ends meanwhile, and is started again within a minute, the answer goes on where it was.
    """
    options = asdict(model) | sampling.given() | _request(how)
    answer = new_answer(invocation, stats=how.stats, stream=how.stream)
    request = _input(prompt, how) | options
    show(invocation, answer, lambda client: client.stream(**request))


def read_prompt(prompt: str) -> str:
    """The prompt, or standard input where it is "-". Raises CommandError if there is nothing in it."""
    text = _standard_input() if prompt == "-" else prompt
    if not text:
        raise CommandError("Say something: the prompt is empty.", exit_codes.USAGE)
    return text


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
    if not text.strip():
        raise CommandError("Say something: the prompt has nothing but blanks.", exit_codes.USAGE)
    system = [] if how.system is None else [{"role": "system", "content": how.system}]
    return {"messages": [*system, {"role": "user", "content": text}]}


def _request(how: RequestOptions) -> dict[str, Any]:
    given = {name: value for name, value in asdict(how).items() if name not in _NOT_OF_THE_REQUEST}
    return {name: value for name, value in given.items() if value is not None} | how.given()
