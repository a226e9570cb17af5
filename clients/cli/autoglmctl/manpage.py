"""The manual page, made from the commands themselves: `python -m autoglmctl.manpage > docs/man/autoglmctl.1`.

Syntax: groff_man(7).
"""

import sys
from collections.abc import Iterator
from typing import Any

import typer

from autoglmctl.app import build_app
from autoglmctl.options import GlobalOptions
from autoglmctl.parameters import spread

EXIT_STATUS = (
    ("0", "Done."),
    ("1", "An error, or an answer that somebody cancelled; one line on standard error says which."),
    ("2", "Wrong usage, or a request that the daemon refuses as it stands, such as one for an unknown model."),
    ("3", "No daemon is reachable, or none that this user may speak to; or the connection broke for good."),
    ("4", "The daemon refused for now: its line is full, a model is loading, or it is stopping. Try later."),
    ("130", "Interrupted by Ctrl\\-C."),
    ("141", "The reader of standard output went away."),
)
ENVIRONMENT = (
    ("AUTOGLMD_SOCKET", "The daemon's Unix socket, where no option names one."),
    ("AUTOGLMD_ADDRESS", "Its TCP address, where no option and no AUTOGLMD_SOCKET names one."),
    ("XDG_RUNTIME_DIR", "Holds autoglmd/autoglmd.sock, looked at after /run/autoglmd/autoglmd.sock."),
    ("XDG_STATE_HOME", "Holds autoglmctl/history, the chat's history; ~/.local/state without."),
    ("NO_COLOR", "If set, nothing is coloured."),
)


def manual_page() -> str:
    """The whole page, as roff."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    root: Any = typer.main.get_command(build_app())
    yield '.TH AUTOGLMCTL 1 "" autoglmd "User Commands"'
    yield from (".SH NAME", "autoglmctl \\- talk to autoglmd, the language model daemon")
    yield from (".SH SYNOPSIS", ".B autoglmctl", "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]")
    yield from (".SH DESCRIPTION", escaped(root.help))
    yield ".SH OPTIONS"
    yield "Those about the connection, and \\-\\-json, may stand before or after the command."
    yield from _options(root, frozenset())
    yield ".SH COMMANDS"
    for path, command in leaves(root):
        yield from _command(path, command)
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_STATUS:
        yield from (".TP", f".B {code}", meaning)
    yield ".SH ENVIRONMENT"
    for name, meaning in ENVIRONMENT:
        yield from (".TP", f".B {name}", escaped(meaning))
    yield from (".SH SEE ALSO", escaped("autoglmd --help tells of the daemon's own commands."))


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it. Hidden ones are other names of these."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        if not child.hidden:
            yield from leaves(child, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    words = [escaped(" ".join(path))]
    words += [_placed(item) for item in command.params if _is_argument(item)]
    yield f".SS {' '.join(words)}"
    yield escaped(" ".join(command.help.split()))
    for item in command.params:
        if _is_argument(item):
            yield from (".TP", _named(item), escaped(item.help or ""))
    yield from _options(command, frozenset(item.name for item in spread(GlobalOptions)))


def _placed(item: Any) -> str:
    return _named(item) if item.required else f"[{_named(item)}]"


def _named(item: Any) -> str:
    return f"\\fI{escaped(item.metavar or item.name)}\\fR"


def _options(command: Any, left_out: frozenset[str]) -> Iterator[str]:
    for item in command.params:
        if _is_argument(item) or item.name in left_out or getattr(item, "hidden", False):
            continue
        names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in (*item.opts, *item.secondary_opts))
        yield from (".TP", names + _value(item), escaped(item.help or ""))


def _value(item: Any) -> str:
    if item.is_flag:
        return ""
    return f" \\fI{escaped(item.metavar or item.name.upper())}\\fR"


def _is_argument(item: Any) -> bool:
    return bool(item.param_type_name == "argument")


def escaped(text: str) -> str:
    """Text that roff prints as it stands."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    sys.stdout.write(manual_page())
