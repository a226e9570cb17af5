"""The configured models and what has become of them. Lives on the event loop."""

from collections.abc import Mapping
from dataclasses import replace

from autoglmd.errors.availability import ModelFailedError, ModelNotReadyError
from autoglmd.errors.request import ModelNotFoundError
from autoglmd.messages.status import ModelInfo, ModelState
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_moves import Speaker

_REASONS = {
    ModelState.LOADING: "it is loading. Try again in a moment.",
    ModelState.PREPARING: "it is being prepared for this box. Try again in a minute.",
}


class Catalog:
    """Model names, their state, and those that are served.

    Args:
        folders: where each model is looked for, by its name.
        default: the name that an empty one means.
    """

    def __init__(self, folders: Mapping[str, str], default: str) -> None:
        self._default = default
        self._infos = {
            name: ModelInfo(name, ModelState.LOADING, is_default=name == default, path=folder)
            for name, folder in folders.items()
        }
        self._served: dict[str, ServedModel] = {}

    def add(self, served: ServedModel) -> None:
        """A model has been loaded."""
        name = served.info.name
        self._served[name] = served
        self._infos[name] = replace(served.info, is_default=name == self._default)

    def mark(self, name: str, state: ModelState, detail: str = "") -> None:
        """A model is at another stage of loading, could not be loaded, or is not on this box."""
        self._infos[name] = replace(self._infos[name], state=state, detail=detail)

    def serving(self, name: str) -> ServedModel:
        """The model for a request; an empty name means the default.

        Raises:
            ModelNotFoundError: it is not configured, or its bundle is not on this box.
            ModelNotReadyError: it is loading or being prepared.
            ModelFailedError: it could not be loaded.
        """
        info = self.info(name)
        if info.state is ModelState.ABSENT:
            raise ModelNotFoundError(
                name, tuple(self._served), f"Model {info.name!r} is not on this box: {info.detail}"
            )
        if info.state is ModelState.FAILED:
            raise ModelFailedError(info.name, info.detail)
        if info.name not in self._served:
            raise ModelNotReadyError(info.name, info.state.value, _REASONS[info.state])
        return self._served[info.name]

    def info(self, name: str) -> ModelInfo:
        """One model. Raises ModelNotFoundError."""
        found = self._infos.get(name or self._default)
        if found is None:
            raise ModelNotFoundError(name, tuple(self._served))
        return found

    def infos(self) -> tuple[ModelInfo, ...]:
        """All models, in the order of the configuration."""
        return tuple(self._infos.values())

    def served(self) -> tuple[ServedModel, ...]:
        """All loaded models."""
        return tuple(self._served.values())

    def speakers(self) -> dict[str, Speaker]:
        """What sessions need of the loaded models, by name."""
        return {served.mark.name: Speaker(served.mark, served.rules) for served in self._served.values()}
