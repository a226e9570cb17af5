"""How a command shows an answer while it comes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import typer

from autoglmctl import exit_codes
from autoglmctl.answers import Answer, JsonAnswer, JsonLines, TextAnswer
from autoglmctl.failures import CommandError
from autoglmctl.interruption import cancelled_by_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoglmctl.invocation import Invocation
    from openglm import Client, CompletionStream


def new_answer(invocation: Invocation, *, stats: bool = False, stream: bool = False) -> Answer:
    """What shows an answer as the options want it. Raises CommandError if they do not go together."""
    if stream and not invocation.json:
        raise CommandError("--stream is for --json; text always comes as it is made.", exit_codes.USAGE)
    if not invocation.json:
        return TextAnswer(invocation.terminal, stats=stats)
    return JsonLines(invocation.terminal) if stream else JsonAnswer(invocation.terminal)


def show(invocation: Invocation, answer: Answer, ask: Callable[[Client], CompletionStream]) -> None:
    """Show the answer to what `ask` asks. Ctrl-C ends it, and comes through; who cancels it elsewhere makes it fail."""
    try:
        _read(invocation, answer, ask)
    except KeyboardInterrupt:
        invocation.terminal.remark("(stopped)")
        raise
    if answer.was_cancelled:
        # By its request id, or by the daemon's operator: half an answer is no success.
        raise typer.Exit(exit_codes.ERROR)


def _read(invocation: Invocation, answer: Answer, ask: Callable[[Client], CompletionStream]) -> None:
    with invocation.client() as client:
        stream = ask(client)
        with cancelled_by_ctrl_c(stream.cancel), closing(answer), stream:
            for event in stream:
                answer.add(event)
            answer.finish()
