"""The shortest way to an answer: the local daemon if one runs, else one of our own."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from openglm._address import Address, default_candidates
from openglm._calls import GenerateOptions, MessageLike
from openglm._client import Client
from openglm._errors import ModelMissingError, RequestCancelledError, UnavailableError
from openglm._local_daemon import LocalDaemon, toml_string
from openglm._models import Completion, Finished, FinishReason, Message, Token

_EMBEDDED = "glm-small"
_BUNDLES = Path("/var/lib/autoglmd/bundles")
_PROBE_SECONDS = 1.0


class AutoGLM:
    """A model to talk to, without asking where it runs.

    A daemon that answers on this box is used. If none does, one is started as a child of this program, on a private
    socket; it ends with this object or this program, however that ends.
    """

    def __init__(
        self,
        model_name: str | Path = _EMBEDDED,
        device: str = "cpu",
        *,
        address: str | Path | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        """Connect to a daemon, or start one and wait until it serves.

        Args:
            model_name: a model that the daemon serves, or a bundle's folder (a path with a "/"), which always gets a
                daemon of its own.
            device: "auto", "cpu", "cuda" or "tensorrt", for a daemon of our own; one that runs has chosen already.
            address: of a daemon; then none is ever started. $AUTOGLMD_SOCKET and $AUTOGLMD_ADDRESS count as this.
            start_timeout: seconds that a daemon of our own may take until it serves.

        Raises:
            DaemonStartError: our own daemon did not come up; shows its log.
            ModelMissingError: the model's folder is not on this box.
            InvalidArgumentError: the address cannot be used.
        """
        folder = model_name if isinstance(model_name, Path) or "/" in model_name else None
        running = None if folder else _running(address)
        self._daemon: LocalDaemon | None = None
        self._model = str(model_name)
        if running is None:
            self._daemon = LocalDaemon(_settings(str(model_name), device), timeout=start_timeout)
            self._model, running = "", self._daemon.address.target
        self._client = Client(running)

    @property
    def client(self) -> Client:
        """The connection, for all that Client can do."""
        return self._client

    @property
    def owns_daemon(self) -> bool:
        """Whether the daemon is a child of this program."""
        return self._daemon is not None

    def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> str:
        """The answer to one question, as text."""
        return self.chat([Message("user", prompt)], **options)

    def stream(self, prompt: str, **options: Unpack[GenerateOptions]) -> Iterator[str]:
        """The answer to one question, piece by piece. Closing the iterator ends the generation."""
        messages = [Message("user", prompt)]
        with self._explained(), self._client.stream(messages=messages, **self._with_model(options)) as answer:
            for event in answer:
                if isinstance(event, Token):
                    yield event.text
                elif isinstance(event, Finished):
                    _check_whole(event)

    def chat(self, messages: Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> str:
        """The next turn of a chat, as text."""
        return self.complete(messages, **options).text

    def complete(self, messages: Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Completion:
        """The next turn of a chat, with its ids, counts and timings."""
        with self._explained():
            completion = self._client.chat(messages, **self._with_model(options))
        _check_whole(completion.finished)
        return completion

    def close(self) -> None:
        """Close the connection, and stop the daemon if it is ours."""
        self._client.close()
        if self._daemon is not None:
            self._daemon.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _with_model(self, options: GenerateOptions) -> GenerateOptions:
        return {"model": self._model, **options}

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """If our own daemon has died, say so, instead of that a socket is not there."""
        try:
            yield
        except UnavailableError:
            death = None if self._daemon is None else self._daemon.death()
            if death is None:
                raise
            raise death from None


def _check_whole(finished: Finished) -> None:
    """Text does not say that it is half an answer."""
    if finished.reason is FinishReason.CANCELLED:
        raise RequestCancelledError("Somebody cancelled this request by its id.")


def _running(address: str | Path | None) -> str | Path | None:
    """The address to use: the one named, or the first place where somebody answers; `None` if nobody does."""
    if address is not None:
        return address
    if os.environ.get("AUTOGLMD_SOCKET") or os.environ.get("AUTOGLMD_ADDRESS"):
        return default_candidates(os.environ)[0].target
    return next((place.target for place in default_candidates(os.environ) if _answers(place)), None)


def _answers(place: Address) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(place.path))
        except OSError:
            return False
    return True


def _settings(model: str, device: str) -> str:
    """The configuration of a daemon that serves one model."""
    # A folder may have a name that no served model can have.
    name = "local" if "/" in model else model
    # Prepared copies pay off over many starts; this daemon's folder lives as long as the daemon.
    entry = {"path": _bundle(model), "device": device}
    table = "\n".join(f"{key} = {toml_string(value)}" for key, value in entry.items())
    head = f"default_model = {toml_string(name)}\nstandard_models = false\n[models.{toml_string(name)}]\n"
    return f"{head}{table}\nprepare = false\n"


def _bundle(model: str) -> str:
    if model == _EMBEDDED:
        return f"bundled:{_EMBEDDED}"
    folder = Path(model).absolute() if "/" in model else _BUNDLES / model
    if not folder.is_dir():
        raise ModelMissingError(
            f"There is no model in {folder}. Make one with `autoglmctl model build`, and give its folder as model_name."
        )
    return str(folder)
