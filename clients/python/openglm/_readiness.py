"""Whether a model can be asked, from what the daemon says of it."""

from openglm._details import ErrorDetails
from openglm._errors import ModelFailedError, ModelNotFoundError, ModelNotReadyError, OpenGLMError
from openglm._models import ModelInfo, ModelState


def ready(info: ModelInfo) -> ModelInfo:
    """The model itself, if a request for it would be taken.

    Raises:
        ModelNotReadyError: it is being loaded or prepared.
        ModelFailedError: it could not be loaded.
        ModelNotFoundError: it is not on the daemon's box.
    """
    if info.state is ModelState.READY:
        return info
    raise _refusal(info)


def _refusal(info: ModelInfo) -> OpenGLMError:
    """What a request for it would be told."""
    if info.state is ModelState.ABSENT:
        message = f"Model {info.name!r} is not on this box: {info.detail}"
        return ModelNotFoundError(message, ErrorDetails(metadata={"name": info.name}))
    reason = info.detail or f"it is {info.state}."
    details = ErrorDetails(metadata={"name": info.name, "state": str(info.state), "reason": reason})
    kind = ModelFailedError if info.state is ModelState.FAILED else ModelNotReadyError
    return kind(f"Model {info.name!r} is not ready: {reason}", details)
