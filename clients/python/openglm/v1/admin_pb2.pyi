from openglm.v1 import models_pb2 as _models_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DaemonState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DAEMON_STATE_UNSPECIFIED: _ClassVar[DaemonState]
    DAEMON_STATE_STARTING: _ClassVar[DaemonState]
    DAEMON_STATE_SERVING: _ClassVar[DaemonState]
    DAEMON_STATE_DRAINING: _ClassVar[DaemonState]
DAEMON_STATE_UNSPECIFIED: DaemonState
DAEMON_STATE_STARTING: DaemonState
DAEMON_STATE_SERVING: DaemonState
DAEMON_STATE_DRAINING: DaemonState

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EngineStatus(_message.Message):
    __slots__ = ("model", "rows", "rows_in_use", "waiting", "requests_started", "requests_finished", "prompt_tokens", "output_tokens", "steps", "prefill_seconds", "decode_seconds", "decoded_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_IN_USE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_STARTED_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FINISHED_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PREFILL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DECODE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DECODED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    rows: int
    rows_in_use: int
    waiting: int
    requests_started: int
    requests_finished: int
    prompt_tokens: int
    output_tokens: int
    steps: int
    prefill_seconds: float
    decode_seconds: float
    decoded_tokens: int
    def __init__(self, model: _Optional[str] = ..., rows: _Optional[int] = ..., rows_in_use: _Optional[int] = ..., waiting: _Optional[int] = ..., requests_started: _Optional[int] = ..., requests_finished: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., steps: _Optional[int] = ..., prefill_seconds: _Optional[float] = ..., decode_seconds: _Optional[float] = ..., decoded_tokens: _Optional[int] = ...) -> None: ...

class SessionsStatus(_message.Message):
    __slots__ = ("sessions", "disk_bytes", "memory_sessions", "memory_bytes", "unsaved_sessions", "unsaved_seconds", "saves", "failed_saves", "expired", "evicted", "from_rows", "from_memory", "from_disk", "misses", "cached_tokens", "resumed", "journal_seconds")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNSAVED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    UNSAVED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SAVES_FIELD_NUMBER: _ClassVar[int]
    FAILED_SAVES_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    FROM_ROWS_FIELD_NUMBER: _ClassVar[int]
    FROM_MEMORY_FIELD_NUMBER: _ClassVar[int]
    FROM_DISK_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    disk_bytes: int
    memory_sessions: int
    memory_bytes: int
    unsaved_sessions: int
    unsaved_seconds: float
    saves: int
    failed_saves: int
    expired: int
    evicted: int
    from_rows: int
    from_memory: int
    from_disk: int
    misses: int
    cached_tokens: int
    resumed: int
    journal_seconds: float
    def __init__(self, sessions: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., memory_sessions: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., unsaved_sessions: _Optional[int] = ..., unsaved_seconds: _Optional[float] = ..., saves: _Optional[int] = ..., failed_saves: _Optional[int] = ..., expired: _Optional[int] = ..., evicted: _Optional[int] = ..., from_rows: _Optional[int] = ..., from_memory: _Optional[int] = ..., from_disk: _Optional[int] = ..., misses: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., resumed: _Optional[int] = ..., journal_seconds: _Optional[float] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("version", "state", "uptime_seconds", "pid", "resident_bytes", "onnxruntime_version", "available_providers", "models", "engines", "open_streams", "refused", "sessions")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ONNXRUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    OPEN_STREAMS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    version: str
    state: DaemonState
    uptime_seconds: float
    pid: int
    resident_bytes: int
    onnxruntime_version: str
    available_providers: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedCompositeFieldContainer[_models_pb2.Model]
    engines: _containers.RepeatedCompositeFieldContainer[EngineStatus]
    open_streams: int
    refused: int
    sessions: SessionsStatus
    def __init__(self, version: _Optional[str] = ..., state: _Optional[_Union[DaemonState, str]] = ..., uptime_seconds: _Optional[float] = ..., pid: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., onnxruntime_version: _Optional[str] = ..., available_providers: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[_Union[_models_pb2.Model, _Mapping]]] = ..., engines: _Optional[_Iterable[_Union[EngineStatus, _Mapping]]] = ..., open_streams: _Optional[int] = ..., refused: _Optional[int] = ..., sessions: _Optional[_Union[SessionsStatus, _Mapping]] = ...) -> None: ...
