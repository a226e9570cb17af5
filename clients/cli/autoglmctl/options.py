"""The options that commands share, in groups."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from autoglmctl import exit_codes
from autoglmctl.completion import complete_model, complete_session
from autoglmctl.failures import CommandError

CONNECTION = "Connection"
SAMPLING = "Sampling"
SESSION_HELP = "Go on with the conversation of this name, which the daemon keeps; a new name begins one."
SessionArgument = Annotated[
    str, typer.Argument(help="The session's name.", metavar="NAME", autocompletion=complete_session)
]


def _option(*names: str, text: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


@dataclass(frozen=True)
class OutputOptions:
    """Whether a program or a person reads what we print."""

    json: Annotated[bool, _option("--json", text="Print JSON, for programs.")] = False


@dataclass(frozen=True)
class GlobalOptions(OutputOptions):
    """Where the daemon is, too.

    Without socket and address, the client looks where AUTOGLMD_SOCKET and AUTOGLMD_ADDRESS say, then in the usual
    places.
    """

    socket: Annotated[
        Path | None,
        _option(
            "--socket",
            text="The daemon's Unix socket.",
            panel=CONNECTION,
            metavar="PATH",
        ),
    ] = None
    address: Annotated[
        str | None,
        _option(
            "--address",
            text="The daemon's TCP address, instead of a socket.",
            panel=CONNECTION,
            metavar="HOST:PORT",
        ),
    ] = None
    tls_ca: Annotated[
        Path | None,
        _option("--tls-ca", text="PEM authority of the daemon's certificate; switches TLS on.", panel=CONNECTION),
    ] = None
    tls_cert: Annotated[
        Path | None, _option("--tls-cert", text="PEM certificate to show to the daemon.", panel=CONNECTION)
    ] = None
    tls_key: Annotated[Path | None, _option("--tls-key", text="PEM key of that certificate.", panel=CONNECTION)] = None
    tls_name: Annotated[
        str,
        _option("--tls-name", text="The name in that certificate, if not the address's.", panel=CONNECTION),
    ] = ""

    def overridden(self, later: OutputOptions) -> Self:
        """These options, with the later word where there is one; a socket and an address are one word."""
        names = [item.name for item in fields(self)]
        values = {name: getattr(later, name, None) or getattr(self, name) for name in names}
        if isinstance(later, GlobalOptions) and (later.socket or later.address):
            values |= {"socket": later.socket, "address": later.address}
        return type(self)(**values)


@dataclass(frozen=True)
class ModelOption:
    """Which model."""

    model: Annotated[
        str,
        _option(
            "--model", "-m", text="A served model's name; the daemon's default without.", autocompletion=complete_model
        ),
    ] = ""


@dataclass(frozen=True)
class SessionOption:
    """Which conversation, and what happens when it has grown too long."""

    session_id: Annotated[
        str | None,
        typer.Option("--session", help=SESSION_HELP, metavar="NAME", autocompletion=complete_session),
    ] = None
    drop_oldest: Annotated[
        bool,
        typer.Option("--drop-oldest", help="Drop the oldest turns when the context is full, instead of refusing."),
    ] = False

    def given(self) -> dict[str, Any]:
        """What the command line said, by the client's names. Raises CommandError for an empty name."""
        if self.session_id == "":
            raise CommandError("--session is empty. Name the conversation, or leave the option out.", exit_codes.USAGE)
        session = {} if self.session_id is None else {"session_id": self.session_id}
        return session | ({"overflow": "drop_oldest"} if self.drop_oldest else {})


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn. What is not given is the model's or the daemon's default."""

    max_tokens: Annotated[
        int | None, _option("--max-tokens", "-n", text="End after this many tokens.", panel=SAMPLING)
    ] = None
    temperature: Annotated[
        float | None, _option("--temperature", "-t", text="0 is greedy; up to 5.", panel=SAMPLING)
    ] = None
    top_k: Annotated[int | None, _option("--top-k", text="Draw from the K most probable; 0: off.", panel=SAMPLING)] = (
        None
    )
    top_p: Annotated[
        float | None, _option("--top-p", text="Draw from this much probability; 1: off.", panel=SAMPLING)
    ] = None
    min_p: Annotated[
        float | None,
        _option("--min-p", text="Drop what is less probable than this times the best; 0: off.", panel=SAMPLING),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        _option("--repetition-penalty", text="Above 1, disfavour what was said; 1: off.", panel=SAMPLING),
    ] = None
    presence_penalty: Annotated[
        float | None,
        _option("--presence-penalty", text="Subtract this from every token already in the answer.", panel=SAMPLING),
    ] = None
    frequency_penalty: Annotated[
        float | None,
        _option("--frequency-penalty", text="Subtract this for each time a token was in the answer.", panel=SAMPLING),
    ] = None
    seed: Annotated[int | None, _option("--seed", text="The same seed gives the same answer.", panel=SAMPLING)] = None

    def given(self) -> dict[str, Any]:
        """What the command line said, by the client's names."""
        return {name: value for name, value in asdict(self).items() if value is not None}
