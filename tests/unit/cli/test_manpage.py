"""The manual page is what the commands are."""

import re
from pathlib import Path

import typer

from autoglmctl.app import build_app
from autoglmctl.manpage import EXIT_STATUS, escaped, leaves, manual_page

PAGE = Path(__file__).parents[3] / "docs" / "man" / "autoglmctl.1"


def test_the_manual_page_in_the_repository_is_fresh() -> None:
    """If this fails: python -m autoglmctl.manpage > docs/man/autoglmctl.1."""
    assert PAGE.read_text(encoding="utf-8") == manual_page()


def test_every_command_and_option_is_in_the_page() -> None:
    """Nothing that works is undocumented."""
    page = manual_page()
    for path, command in leaves(typer.main.get_command(build_app())):
        assert escaped(" ".join(path)) in page
        options = [name for item in command.params if item.param_type_name == "option" for name in item.opts]
        assert [name for name in options if escaped(name) not in page] == []


def test_the_page_says_what_may_be_left_out() -> None:
    """As --help does."""
    page = manual_page()
    assert "session export \\fINAME\\fR [\\fIFILE\\fR]" in page
    assert "session import \\fIFILE\\fR [\\fINAME\\fR]" in page


def test_the_page_names_no_page_that_there_is_not() -> None:
    """`man` would find none."""
    assert set(re.findall(r"\.BR (\w+) \(1\)", manual_page())) <= {page.stem for page in PAGE.parent.iterdir()}


def test_the_page_says_that_a_broken_connection_is_3_too() -> None:
    """As docs/clients.md does."""
    clients = PAGE.parents[1] / "clients.md"
    assert dict(EXIT_STATUS)["3"] in clients.read_text(encoding="utf-8")


def test_text_cannot_be_taken_for_a_roff_request() -> None:
    """A leading dot, a backslash and a hyphen mean themselves."""
    assert escaped(".so -x\\") == "\\&.so \\-x\\e"
