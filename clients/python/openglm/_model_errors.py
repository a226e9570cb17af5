"""Errors of bundles on the daemon's disk. The tree is drawn in `_errors.py`."""

from openglm._error import OpenGLMError


class ModelError(OpenGLMError):
    """A bundle on the box cannot be used."""

    code = "MODEL_INVALID"


class ModelMissingError(ModelError):
    """A model folder, or a file in it, is not there."""

    code = "MODEL_MISSING"


class ModelCorruptError(ModelError):
    """A file of the bundle is there and broken."""

    code = "MODEL_CORRUPT"


class ModelUnsupportedError(ModelError):
    """The bundle is whole, but not one that the daemon can run."""

    code = "MODEL_UNSUPPORTED"


class TokenizerError(ModelError):
    """The tokenizer is missing, broken, or another model's."""

    code = "TOKENIZER_INVALID"


class DeviceUnavailableError(ModelError):
    """The device asked for is not there, and no fall-back was allowed."""

    code = "DEVICE_UNAVAILABLE"
