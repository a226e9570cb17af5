"""Commands whose help pages are laid out as people read them: paragraphs that flow, and no type beside a flag."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command whose flags stand without "<bool>"."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All options, `--help` included."""
        return _without_types(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for what only has commands below it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All options, `--help` included."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


def flowing(text: str | None) -> str:
    """A docstring with each paragraph on one line, for the terminal to wrap. typer keeps the breaks of all but one."""
    paragraphs = (text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
