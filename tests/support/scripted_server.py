"""A daemon that answers as a test scripts it: a real gRPC server on a real Unix socket, with no model behind it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from openglm.v1 import (
    admin_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    models_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)

LIMIT_SECONDS = 30.0


@dataclass(frozen=True)
class Hang:
    """Stay silent until the caller goes away."""


@dataclass(frozen=True)
class Break:
    """Stop the whole server under the running call."""


_ADD: tuple[Callable[[Any, Any], Any], ...] = (
    inference_pb2_grpc.add_InferenceServicer_to_server,
    models_pb2_grpc.add_ModelsServicer_to_server,
    sessions_pb2_grpc.add_SessionsServicer_to_server,
    admin_pb2_grpc.add_AdminServicer_to_server,
)

Step: TypeAlias = Message | status_pb2.Status | Hang | Break
Script: TypeAlias = Sequence[Step]


def started(**fields: Any) -> inference_pb2.GenerateResponse:
    """The first event of a stream."""
    return inference_pb2.GenerateResponse(
        started=inference_pb2.Started(**{"request_id": "r1", "model": "glm-small", "seed": 7, **fields})
    )


def prefill(done: int, total: int) -> inference_pb2.GenerateResponse:
    """Progress on a long prompt."""
    return inference_pb2.GenerateResponse(prefill=inference_pb2.PrefillProgress(done_tokens=done, total_tokens=total))


def token(text: str, *ids: int, logprob: float | None = None) -> inference_pb2.GenerateResponse:
    """One piece of text."""
    message = inference_pb2.Token(text=text, ids=ids)
    if logprob is not None:
        message.logprobs.add(chosen=inference_pb2.Logprob(id=ids[0], text=text, logprob=logprob))
    return inference_pb2.GenerateResponse(token=message)


def finished(reason: str = "STOP", **fields: Any) -> inference_pb2.GenerateResponse:
    """The last event of a stream."""
    return inference_pb2.GenerateResponse(
        finished=inference_pb2.Finished(
            reason=f"FINISH_REASON_{reason}",
            usage=inference_pb2.Usage(prompt_tokens=3, output_tokens=2),
            timings=inference_pb2.Timings(queue_ms=1, prefill_ms=2, decode_ms=3, total_ms=6),
            **fields,
        )
    )


def answer(*pieces: str) -> Script:
    """A whole stream that says these pieces; ids count from 1."""
    return [started(), *(token(piece, index) for index, piece in enumerate(pieces, 1)), finished()]


LOST = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="Socket closed")
"""What gRPC says where a daemon was killed."""


def refusal(
    status: str, reason: str, /, *, retry_after: float | None = None, field: str = "", **facts: Any
) -> status_pb2.Status:
    """A status with google.rpc details, as the daemon sends them."""
    message = f"{reason.replace('_', ' ').capitalize()}."
    packed = status_pb2.Status(code=code_pb2.Code.Value(status), message=message)
    metadata = {name: str(value) for name, value in facts.items()}
    packed.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="autoglmd", metadata=metadata))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description="is odd")
        packed.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_after * 1000))
        packed.details.add().Pack(retry)
    return packed


class ScriptedServer(
    inference_pb2_grpc.InferenceServicer,
    models_pb2_grpc.ModelsServicer,
    sessions_pb2_grpc.SessionsServicer,
    admin_pb2_grpc.AdminServicer,
):
    """Plays one script per Generate or Resume call, in order, and one answer per other call; keeps what it was sent.

    Attributes:
        requests: every request message, in order; of an ImportSession call, all of them as one.
        metadata: of every Generate and Resume call.
        asked: set when a request has come.
        gone: set when a caller leaves before its script has been played.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.asked = threading.Event()
        self.gone = threading.Event()
        self._scripts: list[Script] = []
        self._answers: dict[str, list[Step]] = {}
        self._server: Any = None

    def play(self, *scripts: Script) -> None:
        """Queue scripts for the next Generate and Resume calls."""
        self._scripts += scripts

    def answer(self, method: str, *steps: Step) -> None:
        """Queue answers for the next calls of a unary method; the last one stays."""
        self._answers.setdefault(method, []).extend(steps)

    def forget(self) -> None:
        """Drop the queued answers of unary methods."""
        self._answers.clear()

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(8))
        for add in _ADD:
            add(self, self._server)
        state = health.HealthServicer()
        state.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(state, self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        self._server.start()
        # A machine that stands still for a moment must not look like a daemon that is not there. Over a connection that
        # is not shared: closing one that the test's client has as well would look so, too.
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(f"unix:{self.path}", options) as channel:
            grpc.channel_ready_future(channel).result(LIMIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait(LIMIT_SECONDS)

    def Generate(self, request: Any, context: Any) -> Iterator[Any]:
        """Play the next script."""
        return self._played(request, context)

    def Resume(self, request: Any, context: Any) -> Iterator[Any]:
        """Play the next script."""
        for event in self._played(request, context):
            yield inference_pb2.ResumeResponse.FromString(event.SerializeToString())

    def _played(self, request: Any, context: Any) -> Iterator[Any]:
        self._keep(request)
        self.metadata.append({item.key: item.value for item in context.invocation_metadata()})
        script = list(self._scripts.pop(0))
        # At once: a caller may leave before the script comes to its Hang.
        context.add_callback(lambda: self.gone.set() if script else None)
        while script:
            step = script[0]
            if isinstance(step, Message) and not isinstance(step, status_pb2.Status):
                yield step
            else:
                self._act(step, context)
            script.pop(0)

    def Tokenize(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("Tokenize", request, context)

    def Cancel(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("Cancel", request, context)

    def ListModels(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("ListModels", request, context)

    def GetModel(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("GetModel", request, context)

    def ListSessions(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("ListSessions", request, context)

    def GetSession(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("GetSession", request, context)

    def DeleteSession(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("DeleteSession", request, context)

    def ForkSession(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("ForkSession", request, context)

    def RewindSession(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("RewindSession", request, context)

    def ExportSession(self, request: Any, context: Any) -> Iterator[Any]:
        """Give the queued answers, one piece each, to the end or to a status."""
        self._keep(request)
        steps = self._answers["ExportSession"]
        while steps:
            step = steps.pop(0)
            if isinstance(step, status_pb2.Status):
                self._act(step, context)
            yield step

    def ImportSession(self, requests: Iterator[Any], context: Any) -> Any:
        """Give the queued answer, once all has come."""
        whole = sessions_pb2.ImportSessionRequest()
        for request in requests:
            whole.session_id += request.session_id
            whole.data += request.data
        return self._unary("ImportSession", whole, context)

    def Status(self, request: Any, context: Any) -> Any:
        """Give the queued answer."""
        return self._unary("Status", request, context)

    def _unary(self, method: str, request: Any, context: Any) -> Any:
        self._keep(request)
        steps = self._answers[method]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Message) and not isinstance(step, status_pb2.Status):
            return step
        if isinstance(step, Hang):
            context.add_callback(self.gone.set)
        return self._act(step, context)

    def _keep(self, request: Any) -> None:
        self.requests.append(request)
        self.asked.set()

    def _act(self, step: Step, context: Any) -> None:
        match step:
            case status_pb2.Status():
                context.abort_with_status(rpc_status.to_status(step))
            case Hang():
                left = threading.Event()
                if context.add_callback(left.set):
                    left.wait(LIMIT_SECONDS)
            case Break():
                self._server.stop(None)
                self.gone.wait(LIMIT_SECONDS)
