"""Errors of bundles on disk. The tree is drawn in `__init__.py`."""

from autoglmd.errors.base import AutoglmError


class ModelError(AutoglmError):
    """A bundle on disk cannot be used."""

    code = "MODEL_INVALID"


class ModelMissingError(ModelError):
    """A model folder, or a file in it, is not there."""

    code = "MODEL_MISSING"


class ModelCorruptError(ModelError):
    """A file of the bundle is there and broken."""

    code = "MODEL_CORRUPT"


class ModelUnsupportedError(ModelError):
    """The bundle is whole, but its graph is not one that we can run."""

    code = "MODEL_UNSUPPORTED"


class TokenizerError(ModelError):
    """The tokenizer is missing, broken, or belongs to another model."""

    code = "TOKENIZER_INVALID"


class DeviceUnavailableError(ModelError):
    """The device asked for is not there, and no fall-back was allowed."""

    code = "DEVICE_UNAVAILABLE"
