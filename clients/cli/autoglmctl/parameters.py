"""Commands take frozen dataclasses; typer sees their fields as options.

So a group of options is written once (`options.py`), shared by the commands that have it, and travels as one value.
The first parameter of every command is its Invocation; the options behind that (where the daemon is, --json) are
taken both before and after the command's name.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

import typer

from autoglmctl.failures import reported
from autoglmctl.help_pages import PlainCommand, flowing
from autoglmctl.invocation import Invocation
from autoglmctl.options import GlobalOptions, OutputOptions

Command = Callable[..., None]


def add_command(app: typer.Typer, name: str, command: Command, *, offline: bool = False, hidden: bool = False) -> None:
    """Make `command` a command of `app`; its docstring is its help.

    Args:
        app: what it is a command of.
        name: what calls it.
        command: what it does.
        offline: whether it goes without the options about the connection.
        hidden: whether it works without being shown.
    """

    def run(ctx: typer.Context, invocation: OutputOptions, **arguments: Any) -> None:
        options: GlobalOptions = ctx.obj.overridden(invocation)
        with reported(as_json=options.json):
            command(Invocation(options), **arguments)

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    common = OutputOptions if offline else GlobalOptions
    everywhere = inspect.Parameter("invocation", inspect.Parameter.KEYWORD_ONLY, annotation=common)
    app.command(name, cls=PlainCommand, hidden=hidden)(_flattened(run, [context, *own, everywhere], command.__doc__))


def flattened(command: Command) -> Command:
    """`command` with its dataclass parameters spread out into their fields."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return _flattened(command, list(parameters), command.__doc__)


def _flattened(command: Command, parameters: list[inspect.Parameter], doc: str | None) -> Command:
    def run(**values: Any) -> None:
        command(**{item.name: _argument(item, values) for item in parameters})

    shown = [each for item in parameters for each in _spread(item)]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # `inspect` asks for it
    run.__annotations__ = {item.name: item.annotation for item in shown}
    run.__doc__ = flowing(doc)
    return run


def spread(group: Any) -> list[inspect.Parameter]:
    """A dataclass's fields as keyword parameters."""
    types = get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, annotation=types[field.name], default=_default(field))
        for field in fields(group)
    ]


def _spread(item: inspect.Parameter) -> list[inspect.Parameter]:
    if is_dataclass(item.annotation):
        return spread(item.annotation)
    return [item.replace(kind=inspect.Parameter.KEYWORD_ONLY)]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _argument(item: inspect.Parameter, values: Mapping[str, Any]) -> Any:
    if not is_dataclass(item.annotation):
        return values[item.name]
    group: Any = item.annotation
    return group(**{field.name: values[field.name] for field in fields(group)})
