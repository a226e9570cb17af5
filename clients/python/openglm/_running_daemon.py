"""The daemon that runs on this box already: where it is, and whether it is the one that is needed."""

import os
import warnings
from pathlib import Path
from time import sleep

from openglm._address import default_candidates, first_that_answers
from openglm._client import Client
from openglm._errors import ModelNotFoundError, OpenGLMError
from openglm._models import ModelInfo, ModelState
from openglm._retry import NO_RETRIES

_PROBE_SECONDS = 1.0
# The default asks for nothing: a model that runs somewhere faster is as good.
_ANY_PROVIDER = ("auto", "cpu")
_LOADING = (ModelState.LOADING, ModelState.PREPARING)


def connect_running(address: str | Path | None, model: str, device: str, patience: float) -> Client | None:
    """A client of the daemon that was named, or of the first that answers and knows the model; else `None`.

    Warns where that daemon runs the model on another device than the one asked for. Only for that, a model that is
    being loaded is waited for, `patience` seconds; a request for it waits by itself.

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
        if device in _ANY_PROVIDER:
            return client
        if served.state in _LOADING:
            served = _wait_for(place, model, patience)
    except ModelNotFoundError:
        return client if named is not None else None
    except OpenGLMError:
        # That may pass, and if it does not, the first request says it better.
        return client
    if device not in served.provider.lower():
        _warn(client.address, served, device)
    return client


def _named(address: str | Path | None) -> str | Path | None:
    if address is not None:
        return address
    if os.environ.get("AUTOGLMD_SOCKET") or os.environ.get("AUTOGLMD_ADDRESS"):
        return default_candidates(os.environ)[0].target
    return None


def _first_that_answers() -> str | None:
    place = first_that_answers(default_candidates(os.environ))
    return None if place is None else place.target


def _ask_for(place: str | Path, model: str) -> ModelInfo:
    with Client(place, timeout=_PROBE_SECONDS, retry=NO_RETRIES) as probe:
        return probe.model(model)


def _wait_for(place: str | Path, model: str, seconds: float) -> ModelInfo:
    with Client(place, sleep=sleep) as waiting:
        return waiting.wait_until_ready(model, seconds)


def _warn(place: str, served: ModelInfo, device: str) -> None:
    message = (
        f"The daemon at {place} runs {served.name} on {served.provider or 'nothing yet'}, not on {device!r}. Set the "
        "device in its configuration, or stop it to get one of your own."
    )
    # For the line that made the AutoGLM.
    warnings.warn(message, RuntimeWarning, stacklevel=4)
