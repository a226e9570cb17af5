"""The options that stand before a command's name."""

import sys
from typing import Annotated

import typer

from autoglmctl.options import GlobalOptions
from autoglmctl.parameters import flattened


def _print_version(wanted: bool) -> None:
    if wanted:
        # Only now: reading the installation's metadata takes longer than the rest of most commands.
        from importlib.metadata import version

        sys.stdout.write(f"autoglmctl {version('autoglmd')}\n")
        raise typer.Exit


@flattened
def root(
    ctx: typer.Context,
    options: GlobalOptions,
    *,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keep the global options for the command that follows."""
    ctx.obj = options
