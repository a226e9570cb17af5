"""Errors of a request that cannot be served as it stands. The tree is drawn in `__init__.py`."""

from autoglmd.errors.base import AutoglmError


class RequestError(AutoglmError):
    """The request cannot be served as it stands; sending it again changes nothing."""

    code = "BAD_REQUEST"


class InvalidArgumentError(RequestError):
    """A field is missing or out of its range."""

    code = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.description = message


class PromptTooLongError(RequestError):
    """Prompt (and room for output) do not fit; nothing is ever truncated silently."""

    code = "PROMPT_TOO_LONG"

    def __init__(
        self, prompt_tokens: int, output_tokens: int, limit_tokens: int, what: str, *, counted: bool = True
    ) -> None:
        """`prompt_tokens` is a lower bound where they were not `counted` to the end; no output is asked for by 0."""
        asks = f" and asks for {output_tokens} more" if output_tokens else ""
        remedy = "Shorten the prompt or lower max_tokens." if output_tokens else "Shorten the prompt."
        super().__init__(
            f"The prompt has {'' if counted else 'at least '}{prompt_tokens} tokens{asks}; "
            f"{what} is {limit_tokens} tokens. {remedy}"
        )
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.limit_tokens = limit_tokens
        self.counted = counted

    def with_remedy(self, remedy: str) -> "PromptTooLongError":
        """The same, with one more thing that can be done."""
        self.message = f"{self.message} {remedy}"
        self.args = (self.message,)
        return self


class ModelNotFoundError(RequestError):
    """No model of that name is served here. `known` are those that are."""

    code = "MODEL_NOT_FOUND"

    def __init__(self, name: str, known: tuple[str, ...], why: str = "") -> None:
        known_names = ", ".join(known) or "none"
        super().__init__(f"{why or f'No model named {name!r} is served here.'} Served: {known_names}.")
        self.name = name
        self.known = known


class RequestIdInUseError(RequestError):
    """A running request already has the id that the client chose."""

    code = "REQUEST_ID_IN_USE"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id!r} belongs to a running request. Leave it empty to get a fresh one; if it is the "
            "same request sent again, try in a moment, when the first one's connection is found broken."
        )
        self.request_id = request_id


class NotSupportedError(RequestError):
    """Part of the contract that this daemon does not do."""

    code = "NOT_SUPPORTED"
