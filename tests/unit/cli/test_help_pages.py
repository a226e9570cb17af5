"""Help pages, as people read them."""

from itertools import pairwise

import pytest
import typer
from typer.testing import CliRunner

from autoglmctl.app import EXIT_CODES, build_app
from autoglmctl.help_pages import flowing
from autoglmctl.manpage import leaves

COMMANDS = [path for path, _ in leaves(typer.main.get_command(build_app()))]


def test_paragraphs_flow_and_stay_apart() -> None:
    """The terminal decides where a line ends."""
    assert flowing("One.\n\n    Two\n    goes on.\n    ") == "One.\n\nTwo goes on."
    assert flowing(None) == ""


@pytest.mark.parametrize("path", [(), ("model",), *COMMANDS], ids=" ".join)
def test_no_flag_asks_for_a_value(path: tuple[str, ...]) -> None:
    """It takes none; typer would put its type there."""
    done = CliRunner().invoke(build_app(), [*path, "--help"])
    assert "--help" in done.stdout
    assert "<bool>" not in done.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_text_above_the_options_has_no_breaks_of_the_source(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a wide terminal, a paragraph is one line."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1000)
    lines = CliRunner().invoke(build_app(), [*path, "--help"]).stdout.partition("╭─")[0].splitlines()
    text = [line.strip() for line in lines]
    assert [line for line, following in pairwise(text) if line and following] == []


@pytest.mark.parametrize("name", ["rm", "remove"])
def test_delete_has_the_names_that_others_give_it(name: str) -> None:
    """They work, and are not shown: one command, one name."""
    assert "Forget a conversation" in CliRunner().invoke(build_app(), ["session", name, "--help"]).stdout
    assert f" {name} " not in CliRunner().invoke(build_app(), ["session", "--help"]).stdout


def test_the_exit_codes_are_one_paragraph() -> None:
    """As above."""
    assert "\n" not in EXIT_CODES
