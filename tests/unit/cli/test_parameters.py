"""Dataclasses as command line options."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from autoglmctl.invocation import Invocation
from autoglmctl.options import GlobalOptions
from autoglmctl.parameters import add_command, flattened


@dataclass(frozen=True)
class Shape:
    """Two options."""

    sides: Annotated[int, typer.Option("--sides", "-s")] = 3
    names: Annotated[list[str] | None, typer.Option("--name")] = None


@dataclass(frozen=True)
class Place:
    """An argument."""

    where: Annotated[str, typer.Argument()]


@pytest.fixture
def calls() -> list[object]:
    """What the command was called with."""
    return []


@pytest.fixture
def app(calls: list[object]) -> typer.Typer:
    """An app with one command that takes two groups and an option of its own."""

    def draw(
        invocation: Invocation,
        place: Place,
        shape: Shape,
        *,
        filled: Annotated[bool, typer.Option("--filled")] = False,
    ) -> None:
        """Draw a shape."""
        calls.extend((place, shape, filled, invocation.options))

    app = typer.Typer()

    @app.callback()
    @flattened
    def root(ctx: typer.Context, options: GlobalOptions) -> None:
        ctx.obj = options

    add_command(app, "draw", draw)
    return app


def run(app: typer.Typer, *words: str) -> int:
    """Run a command line; returns its exit code."""
    return CliRunner().invoke(app, list(words)).exit_code


def test_the_fields_of_a_group_are_options(app: typer.Typer, calls: list[object]) -> None:
    """The command gets its groups as values, filled from the command line."""
    assert run(app, "draw", "here", "-s", "4", "--name", "a", "--name", "b", "--filled") == 0
    assert calls[:3] == [Place("here"), Shape(4, ["a", "b"]), True]


def test_what_is_not_given_is_the_fields_default(app: typer.Typer, calls: list[object]) -> None:
    """The dataclass is the one place for defaults."""
    run(app, "draw", "here")
    assert calls[1] == Shape()


def test_a_field_without_a_default_is_required(app: typer.Typer) -> None:
    """As for any argument, its absence is a usage error."""
    assert run(app, "draw") == 2


def test_the_later_word_on_a_global_option_wins(app: typer.Typer, calls: list[object]) -> None:
    """Options before the command hold where those after it say nothing."""
    run(app, "--address", "a:1", "--json", "draw", "here", "--address", "b:2")
    assert calls[3] == GlobalOptions(address="b:2", json=True)


def test_the_later_word_names_the_one_daemon(app: typer.Typer, calls: list[object]) -> None:
    """An address after the command takes the place of a socket before it."""
    run(app, "--socket", "/s", "draw", "here", "--address", "b:2")
    assert calls[3] == GlobalOptions(address="b:2")


def test_the_docstring_is_the_help(app: typer.Typer) -> None:
    """What a reader of the code reads, a user reads, too."""
    assert "Draw a shape." in CliRunner().invoke(app, ["draw", "--help"]).stdout


def test_an_offline_command_has_no_connection_options(app: typer.Typer) -> None:
    """What works on files asks for no daemon; --json it has."""

    def measure(invocation: Invocation) -> None:
        """Measure."""

    add_command(app, "measure", measure, offline=True)
    assert run(app, "measure", "--json") == 0
    assert run(app, "measure", "--socket", "/s") == 2
