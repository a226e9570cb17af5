"""The options that stand before a command's name."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from autoglmctl.options import GlobalOptions
from autoglmctl.parameters import flattened


@flattened
def root(
    ctx: typer.Context,
    options: GlobalOptions,
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Keep the global options for the command that follows."""
    if show_version:
        sys.stdout.write(f"autoglmctl {version('autoglmd')}\n")
        raise typer.Exit
    ctx.obj = options
