"""autoglmctl chat: a conversation."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoglmctl.answers import Answer, JsonAnswer, TextAnswer
from autoglmctl.chat_commands import ChatCommands
from autoglmctl.conversation import Conversation
from autoglmctl.failures import CommandError, exit_code_of, render
from autoglmctl.interruption import CtrlCAtPrompt, cancelled_by_ctrl_c
from autoglmctl.invocation import Invocation
from autoglmctl.kept_session import KeptSession
from autoglmctl.line_editor import LineEditor, history_path
from autoglmctl.options import ModelOption, SamplingOptions, SessionOption

if TYPE_CHECKING:
    from autoglmctl.terminal import Terminal
    from openglm import Client, OpenGLMError


@dataclass(frozen=True)
class ChatOptions:
    """How the conversation begins and is shown."""

    system: Annotated[str, typer.Option(help="A system message.", show_default=False)] = ""
    stats: Annotated[bool, typer.Option("--stats", help="Print counts and times after each answer.")] = False


def chat(
    invocation: Invocation, model: ModelOption, sampling: SamplingOptions, session: SessionOption, how: ChatOptions
) -> None:
    """Talk to a model, turn by turn.

    Lines are edited as in a shell and remembered. Ctrl-C stops an answer, Ctrl-D or /exit leaves, /help shows the
    rest. From a pipe, each line is a turn.
    """
    options = asdict(model) | sampling.given() | session.given()
    with invocation.client() as client, LineEditor(history_path(os.environ)) as editor:
        if editor.on_terminal:
            # Say now, not after the first question, if nobody is there to answer it.
            served = client.model(model.model)
            invocation.terminal.remark(
                f"{served.name} {served.version or served.state}. /help shows the commands, Ctrl-D leaves."
            )
        conversation = _conversation(client, invocation.terminal, how.system, session.session_id)
        repl = Repl(invocation, client, editor, conversation)
        repl.run(options, stats=how.stats)
    if repl.exit_code:
        raise typer.Exit(repl.exit_code)


def _conversation(client: Client, terminal: Terminal, system: str, session_id: str | None) -> Conversation:
    """A new one, or what the daemon keeps under the session's name."""
    if session_id is None:
        return Conversation(system)
    kept = KeptSession(client, session_id)
    conversation = Conversation(system, kept)
    if kept.is_unfinished:
        terminal.remark(
            f"Its last answer broke off: 'autoglmctl session resume {session_id}' takes it up; a question gives it up."
        )
    if conversation.is_kept:
        terminal.remark(f"Session {session_id} goes on: {len(conversation.messages)} messages.")
        if system:
            terminal.remark("It has begun already, so --system is not sent; /clear deletes it and begins anew.")
    return conversation


class Repl:
    """Reads, asks, prints, until the end of input or /exit. Owns the conversation.

    Attributes:
        exit_code: of the first question from a pipe that got no answer; 0 where a person has seen it.
    """

    def __init__(self, invocation: Invocation, client: Client, editor: LineEditor, conversation: Conversation) -> None:
        self._invocation = invocation
        self._terminal = invocation.terminal
        self._client = client
        self._editor = editor
        self._conversation = conversation
        self._commands = ChatCommands(conversation, self._terminal, self._agrees if editor.on_terminal else None)
        self._prompt = CtrlCAtPrompt()
        self.exit_code = 0

    def run(self, options: dict[str, Any], *, stats: bool) -> None:
        """Go on until it ends."""
        with self._prompt:
            while not self._commands.done:
                try:
                    text = self._prompt.read(self._editor.read)
                except KeyboardInterrupt:
                    self._terminal.remark("\nCtrl-D or /exit leaves.")
                    continue
                except CommandError as error:
                    if not self._editor.on_terminal:
                        raise
                    self._terminal.remark(error.message)
                    continue
                if text is None:
                    break
                self._take(text, options, stats=stats)
        if self._editor.on_terminal and not self._commands.done:
            self._terminal.write("\n")

    def _take(self, text: str, options: dict[str, Any], *, stats: bool) -> None:
        if text.startswith("/") and not text.startswith("//"):
            self._commands.run(text)
        elif text.strip():
            self._turn(text.removeprefix("/") if text.startswith("//") else text, options, stats=stats)

    def _agrees(self, question: str) -> bool:
        """Whether the person says yes. Ctrl-C and Ctrl-D are a no."""
        try:
            answer = self._prompt.read(lambda: self._editor.answer(f"{question} [y/N] "))
        except KeyboardInterrupt:
            answer = None
        if answer is None:
            self._terminal.write("\n")
            return False
        return answer.strip().lower() in ("y", "yes")

    def _turn(self, text: str, options: dict[str, Any], *, stats: bool) -> None:
        from openglm import OpenGLMError

        answer = self._new_answer(stats=stats)
        try:
            self._ask(text, answer, options)
        except KeyboardInterrupt:
            self._terminal.remark("(stopped)")
            self._conversation.broke_off(text, answer.text)
        except OpenGLMError as error:
            self._terminal.remark(render(error, as_json=self._invocation.json))
            self._refused(error)
            self._conversation.failed()
        else:
            self._answered(text, answer)

    def _answered(self, text: str, answer: Answer) -> None:
        if answer.stands_alone:
            # What the daemon keeps ends with an older turn, which is the next one to take back.
            self._conversation.failed()
            return
        self._conversation.add(text, answer.text, anew=answer.began_anew)
        if answer.dropped_messages:
            self._conversation.lost(answer.dropped_messages)

    def _refused(self, error: OpenGLMError) -> None:
        if not self._editor.on_terminal:
            self.exit_code = self.exit_code or exit_code_of(error)
        elif error.code == "PROMPT_TOO_LONG" and self._conversation.messages:
            self._terminal.remark(
                "The whole conversation counts with each question; /clear begins it anew, /rewind takes back its last "
                "turn, and with --drop-oldest a chat drops its oldest ones."
            )

    def _ask(self, text: str, answer: Answer, options: dict[str, Any]) -> None:
        stream = self._client.stream(messages=self._conversation.messages_with(text), **options)
        with cancelled_by_ctrl_c(stream.cancel), closing(answer), stream:
            for event in stream:
                answer.add(event)
            answer.finish()

    def _new_answer(self, *, stats: bool) -> Answer:
        if self._invocation.json:
            return JsonAnswer(self._terminal)
        return TextAnswer(self._terminal, stats=stats, goes_on=self._conversation.is_kept)
