"""The shortest way to an answer: the local daemon if one runs, else one of our own."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from openglm._calls import GenerateOptions, MessageLike
from openglm._client import Client
from openglm._errors import ModelMissingError, RequestCancelledError, UnavailableError
from openglm._local_daemon import LocalDaemon, toml_string
from openglm._models import Completion, Finished, FinishReason, Token
from openglm._retry import RetryPolicy
from openglm._running_daemon import connect_running
from openglm._session_models import Message
from openglm._state_folder import state_folder

_EMBEDDED = "glm-small"
_BUNDLES = Path("/var/lib/autoglmd/bundles")


class AutoGLM:
    """A model to talk to, without asking where it runs.

    A daemon that answers on this box and knows the model is used. If there is none, one is started as a child of this
    program, on a private socket; it ends with this object or this program, however that ends.
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
            device: "auto", "cpu", "cuda" or "tensorrt", for a daemon of our own. One that runs has chosen already;
                a RuntimeWarning says where that is neither "cuda" nor "tensorrt" as asked for.
            address: of a daemon; then none is ever started. $AUTOGLMD_SOCKET and $AUTOGLMD_ADDRESS count as this.
            start_timeout: seconds that a daemon of our own may take until it serves; also, with a `device` to look
                at, a model that a running daemon is loading.

        Raises:
            DaemonStartError: our own daemon did not come up; shows its log.
            ModelMissingError: the model's folder is not on this box.
            InvalidArgumentError: the address cannot be used.
        """
        is_folder = isinstance(model_name, Path) or "/" in model_name
        # So that a Path("name") is known by its slash, too.
        self._model = str(Path(model_name).absolute()) if is_folder else str(model_name)
        self._daemon: LocalDaemon | None = None
        running = None if is_folder else connect_running(address, self._model, device, start_timeout)
        if running is None:
            self._daemon = _start_own(self._model, device, start_timeout)
            # Nobody starts that one again, so that a broken answer need not wait for it.
            self._model, running = "", Client(self._daemon.address.target, retry=RetryPolicy(resume_seconds=0))
        self._client = running

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


def _start_own(model: str, device: str, timeout: float) -> LocalDaemon:
    bundle = _bundle(model)
    state = state_folder(os.environ, model)
    return LocalDaemon(_settings(model, bundle, device, prepare=state is not None), state=state, timeout=timeout)


def _settings(model: str, bundle: str, device: str, *, prepare: bool) -> str:
    """The configuration of a daemon that serves one model."""
    # A folder may have a name that no served model can have.
    name = "local" if "/" in model else model
    entry = {"path": bundle, "device": device}
    table = "\n".join(f"{key} = {toml_string(value)}" for key, value in entry.items())
    head = f"default_model = {toml_string(name)}\nstandard_models = false\n[models.{toml_string(name)}]\n"
    # A prepared copy pays off over many starts, if there is a place for it that outlives the daemon.
    return f"{head}{table}\nprepare = {str(prepare).lower()}\n"


def _bundle(model: str) -> str:
    if model == _EMBEDDED:
        return f"bundled:{_EMBEDDED}"
    folder = Path(model) if "/" in model else _BUNDLES / model
    if not folder.is_dir():
        raise ModelMissingError(
            f"There is no model in {folder}. Make one with `autoglmctl model build`, and give its folder as model_name."
        )
    return str(folder)
