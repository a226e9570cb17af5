"""autoglmctl tokenize: a text as the model sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoglmctl.generate import read_prompt
from autoglmctl.invocation import Invocation
from autoglmctl.options import ModelOption

if TYPE_CHECKING:
    from openglm import TokenizedText


def tokenize(
    invocation: Invocation,
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.", metavar="TEXT")],
    model: ModelOption,
    *,
    chat: Annotated[bool, typer.Option("--chat", help="Through the chat template, as a user's message.")] = False,
) -> None:
    """Show the token ids of a text, and the piece of text of each."""
    content = read_prompt(text)
    with invocation.client() as client:
        if chat:
            tokens = client.tokenize(messages=[{"role": "user", "content": content}], model=model.model)
        else:
            tokens = client.tokenize(content, model=model.model)
    invocation.show(tokens, lambda: (_table(tokens), f"{len(tokens.ids)} tokens"))


def _table(tokens: TokenizedText) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", justify="right")
    table.add_column("piece")
    for index, (token_id, piece) in enumerate(zip(tokens.ids, tokens.pieces, strict=True)):
        table.add_row(str(index), str(token_id), Text(repr(piece)))
    return table
