"""A model's chat template: Jinja that comes with the bundle, so it is rendered in a sandbox."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from autoglmd.errors.model import TokenizerError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import Message
from autoglmd.model.side_file import MAX_BYTES

MAX_RENDERED = 16 << 20


class _BoundedSandbox(ImmutableSandboxedEnvironment):
    """A sandbox that also refuses to multiply a text to a size that no prompt has."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Called by compiled templates instead of the operator."""
        if operator == "**":
            raise SecurityError("a template has no use for powers")
        sizes = [each if isinstance(each, int | float) else len(each) for each in (left, right)]
        if not all(isinstance(each, int | float) for each in (left, right)) and sizes[0] * sizes[1] > MAX_RENDERED:
            raise SecurityError(f"a template may not make more than {MAX_RENDERED} characters")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """Renders messages to the text that the model was trained on. Safe to call from several threads."""

    def __init__(self, source: str, tokens: dict[str, str]) -> None:
        """Compile a template.

        Args:
            source: Jinja source, in the dialect of Hugging Face's transformers.
            tokens: variables that it may use, such as bos_token.

        Raises:
            TokenizerError: the template does not compile.
        """
        environment = _BoundedSandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda pattern: datetime.now().astimezone().strftime(pattern)
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise TokenizerError(f"The chat template does not compile: {error}") from error
        self._tokens = tokens

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> "ChatTemplate | None":
        """Take chat_template.jinja, else the one in tokenizer_config.json, else none."""
        file = folder / "chat_template.jinja"
        source = _read(file) if file.is_file() else settings.get("chat_template")
        if isinstance(source, list):
            source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
        if source is None:
            return None
        if not isinstance(source, str):
            raise TokenizerError(
                f"{folder}: chat_template is {type(source).__name__}, not text. Copy the bundle again."
            )
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        return cls(source, {name: _token_text(settings.get(name)) for name in names})

    def render(self, messages: Sequence[Message]) -> str:
        """Text of the messages, ending where the assistant's answer begins.

        Raises:
            InvalidArgumentError: the template refuses them, for example for a role that it does not know.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return _joined(self._template.generate(messages=turns, add_generation_prompt=True, **self._tokens))
        except Exception as error:
            # Whatever a stranger's code does with these messages, it is this request's error.
            raise InvalidArgumentError("chat", f"the model's chat template refuses these messages: {error}") from error


def _joined(pieces: Iterator[str]) -> str:
    """The rendered text; a template that loops for ever is stopped by its length."""
    rendered, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_RENDERED:
            raise SecurityError(f"a template may not make more than {MAX_RENDERED} characters")
        rendered.append(piece)
    return "".join(rendered)


def _read(file: Path) -> str:
    if file.stat().st_size > MAX_BYTES:
        raise TokenizerError(f"{file} has {file.stat().st_size} bytes; a template has at most {MAX_BYTES}.")
    try:
        return file.read_text("utf-8")
    except ValueError as error:
        raise TokenizerError(f"{file} is not UTF-8 text: {error}. Copy the bundle again.") from error


def _refuse(reason: str) -> NoReturn:
    raise jinja2.TemplateError(reason)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _token_text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
