"""What every command works with: the options in force, the daemon they mean, and the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoglmctl import exit_codes
from autoglmctl.failures import CommandError
from autoglmctl.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from autoglmctl.options import GlobalOptions
    from openglm import AsyncClient, Client, OpenGLMError, RetryPolicy, Tls

_WAITING = {
    "MODEL_NOT_READY": "waiting for the model to load ...",
    "CONNECTION_LOST": "connection lost; waiting for the daemon ...",
    "DRAINING": "the daemon is stopping; waiting for the next one ...",
}


@dataclass(frozen=True)
class Invocation:
    """One run of one command."""

    options: GlobalOptions
    terminal: Terminal = field(default_factory=Terminal)

    @property
    def json(self) -> bool:
        """Whether a program reads what we print."""
        return self.options.json

    def client(self) -> Client:
        """A blocking client of the daemon that the options name."""
        from openglm import Client

        return Client(self.address(), tls=self._tls(), retry=self._patience())

    def async_client(self) -> AsyncClient:
        """An asyncio client of the same."""
        from openglm import AsyncClient

        return AsyncClient(self.address(), tls=self._tls(), retry=self._patience())

    def address(self) -> str | Path | None:
        """The address that the options name, if they do. Raises CommandError if they name two."""
        if self.options.socket and self.options.address:
            raise CommandError("--socket and --address name two daemons. Give one of them.", exit_codes.USAGE)
        return self.options.address or self.options.socket

    def _tls(self) -> Tls | None:
        options = self.options
        if not (options.tls_ca or options.tls_cert or options.tls_key or options.tls_name):
            return None
        from openglm import Tls

        return Tls(ca=options.tls_ca, cert=options.tls_cert, key=options.tls_key, server_name=options.tls_name)

    def _patience(self) -> RetryPolicy:
        from openglm import RetryPolicy

        return RetryPolicy(before_wait=self._say_why)

    def _say_why(self, error: OpenGLMError, _seconds: float) -> None:
        reason = _WAITING.get(error.code)
        if reason and not self.json:
            self.terminal.remark_wait(reason)

    def show(self, value: Any, table: Any) -> None:
        """Print `value` as JSON, or call `table` for what people read."""
        if self.json:
            self.terminal.print_json(value)
        else:
            self.terminal.print(*table())
