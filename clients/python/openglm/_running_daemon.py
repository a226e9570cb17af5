"""The daemon that runs on this box already: where it is, and whether it is the one that is needed."""

import os
import socket
import warnings
from pathlib import Path
from time import sleep

from openglm._address import Address, default_candidates
from openglm._client import Client
from openglm._details import ErrorDetails
from openglm._errors import ModelNotFoundError, ModelNotReadyError, OpenGLMError
from openglm._models import ModelInfo
from openglm._retry import NO_RETRIES, Attempts, RetryPolicy

_PROBE_SECONDS = 1.0
# The default asks for nothing: a model that runs somewhere faster is as good.
_ANY_PROVIDER = ("auto", "cpu")


def connect_running(address: str | Path | None, model: str, device: str) -> Client | None:
    """A client of the daemon that was named, or of the first that answers and knows the model; else `None`.

    A model that is being loaded is waited for, as a request would. Warns where that daemon runs the model on another
    device than the one asked for.

    Raises:
        InvalidArgumentError: the address cannot be used.
    """
    named = _named(address)
    place = _first_that_answers() if named is None else named
    if place is None:
        return None
    client = Client(place)
    try:
        served = _ask_for(place, model)
    except ModelNotFoundError:
        return client if named is not None else None
    except OpenGLMError:
        # That may pass, and if it does not, the first request says it better.
        return client
    if device not in _ANY_PROVIDER and device not in served.provider.lower():
        _warn(client.address, served, device)
    return client


def _named(address: str | Path | None) -> str | Path | None:
    if address is not None:
        return address
    if os.environ.get("AUTOGLMD_SOCKET") or os.environ.get("AUTOGLMD_ADDRESS"):
        return default_candidates(os.environ)[0].target
    return None


def _first_that_answers() -> str | None:
    return next((place.target for place in default_candidates(os.environ) if _answers(place)), None)


def _answers(place: Address) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(place.path))
        except OSError:
            return False
    return True


def _ask_for(place: str | Path, model: str) -> ModelInfo:
    """What the daemon says of the model. Raises ModelNotReadyError where it is being loaded for too long."""
    attempts = Attempts(RetryPolicy(), timeout=None)
    with Client(place, timeout=_PROBE_SECONDS, retry=NO_RETRIES) as probe:
        while True:
            served = probe.model(model)
            unready = _unready(served)
            if not unready.is_loading:
                return served
            sleep(attempts.delay_after(unready))


def _unready(served: ModelInfo) -> ModelNotReadyError:
    """What a request for it would be told, if it were not ready."""
    facts = {"name": served.name, "state": str(served.state), "reason": served.detail}
    return ModelNotReadyError(f"Model {served.name!r} is {served.state}.", ErrorDetails(metadata=facts))


def _warn(place: str, served: ModelInfo, device: str) -> None:
    message = (
        f"The daemon at {place} runs {served.name} on {served.provider or 'nothing yet'}, not on {device!r}. Set the "
        "device in its configuration, or stop it to get one of your own."
    )
    # For the line that made the AutoGLM.
    warnings.warn(message, RuntimeWarning, stacklevel=4)
