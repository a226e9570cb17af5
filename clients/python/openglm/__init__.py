"""Python client of autoglmd.

Four lines suffice, whether or not a daemon runs on the box:

    from openglm import AutoGLM

    with AutoGLM() as glm:
        print(glm.generate("你好,介绍一下你自己"))

Client and AsyncClient are the whole contract; see docs/clients.md.
"""

from openglm._async_client import AsyncClient
from openglm._async_stream import AsyncCompletionStream
from openglm._autoglm import AutoGLM
from openglm._calls import GenerateOptions
from openglm._channel import Tls
from openglm._client import Client
from openglm._errors import (
    AccessDeniedError,
    CapacityError,
    ClientClosedError,
    ConnectionLostError,
    DaemonError,
    DaemonNotRunningError,
    DaemonStartError,
    DeadlineExceededError,
    DeviceUnavailableError,
    DrainingError,
    EngineFailedError,
    InvalidArgumentError,
    MessageTooLargeError,
    ModelCorruptError,
    ModelError,
    ModelFailedError,
    ModelMissingError,
    ModelNotFoundError,
    ModelNotReadyError,
    ModelUnsupportedError,
    NotSupportedError,
    OpenGLMError,
    PromptTooLongError,
    QueueFullError,
    RequestCancelledError,
    RequestError,
    RequestIdInUseError,
    TokenizerError,
    UnavailableError,
)
from openglm._events import CompletionBuilder
from openglm._models import (
    Completion,
    DaemonState,
    DaemonStatus,
    EngineStatus,
    Event,
    Finished,
    FinishReason,
    Logprob,
    Message,
    ModelInfo,
    ModelState,
    PrefillProgress,
    Started,
    Timings,
    Token,
    TokenizedText,
    TokenLogprobs,
    Usage,
)
from openglm._retry import NO_RETRIES, RetryPolicy
from openglm._stream import CompletionStream

__all__ = [
    "NO_RETRIES",
    "AccessDeniedError",
    "AsyncClient",
    "AsyncCompletionStream",
    "AutoGLM",
    "CapacityError",
    "Client",
    "ClientClosedError",
    "Completion",
    "CompletionBuilder",
    "CompletionStream",
    "ConnectionLostError",
    "DaemonError",
    "DaemonNotRunningError",
    "DaemonStartError",
    "DaemonState",
    "DaemonStatus",
    "DeadlineExceededError",
    "DeviceUnavailableError",
    "DrainingError",
    "EngineFailedError",
    "EngineStatus",
    "Event",
    "FinishReason",
    "Finished",
    "GenerateOptions",
    "InvalidArgumentError",
    "Logprob",
    "Message",
    "MessageTooLargeError",
    "ModelCorruptError",
    "ModelError",
    "ModelFailedError",
    "ModelInfo",
    "ModelMissingError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelState",
    "ModelUnsupportedError",
    "NotSupportedError",
    "OpenGLMError",
    "PrefillProgress",
    "PromptTooLongError",
    "QueueFullError",
    "RequestCancelledError",
    "RequestError",
    "RequestIdInUseError",
    "RetryPolicy",
    "Started",
    "Timings",
    "Tls",
    "Token",
    "TokenLogprobs",
    "TokenizedText",
    "TokenizerError",
    "UnavailableError",
    "Usage",
]
