"""One daemon as a client knows it: where it is, and how patient to be. Shared by both kinds of client."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import grpc

from openglm._address import Address, default_address, parse_address
from openglm._channel import Tls, credentials, open_channel
from openglm._connection import Connection
from openglm._errors import OpenGLMError
from openglm._fields import check_timeout
from openglm._retry import Attempts, RetryPolicy
from openglm._status import error_from_rpc


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and the rules for every call made there."""

    address: Address
    tls: Tls | None
    timeout: float | None
    retry: RetryPolicy

    @classmethod
    def choose(
        cls, address: str | Path | None, tls: Tls | None, timeout: float | None, retry: RetryPolicy | None
    ) -> Self:
        """Fill in what the caller left out, and check what was given.

        Raises:
            InvalidArgumentError: the address, the TLS files or the timeout cannot be used.
        """
        check_timeout(timeout)
        place = default_address(os.environ) if address is None else parse_address(address)
        credentials(place, tls)
        return cls(place, tls, timeout, retry or RetryPolicy())

    def connect(self, module: Any) -> Connection:
        """A new connection of `module`'s kind: `grpc` or `grpc.aio`."""
        return Connection(open_channel(module, self.address, self.tls))

    def attempts(self, timeout: float | None = None) -> Attempts:
        """The tries that one call may take; `timeout` in seconds, the endpoint's own if `None`."""
        return Attempts(self.retry, self.timeout if timeout is None else timeout)

    def patience(self, timeout: float | None) -> Attempts:
        """The tries of a wait for a model: `timeout` in seconds, or what the retry policy waits if `None`.

        Raises:
            InvalidArgumentError: the timeout cannot be used.
        """
        check_timeout(timeout)
        policy = self.retry if timeout is None else replace(self.retry, loading_seconds=timeout)
        return Attempts(policy, self.timeout if timeout is None else timeout)

    def error(self, failure: grpc.RpcError) -> OpenGLMError:
        """The typed error for a failed call."""
        return error_from_rpc(failure, self.address)
