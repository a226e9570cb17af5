"""What goes out: messages to protobuf. Enums have the same names on both sides, which a test holds."""

from dataclasses import asdict

from google.protobuf import timestamp_pb2

from autoglmd.errors.base import AutoglmError
from autoglmd.messages.generation import (
    Finished,
    Logprob,
    PrefillProgress,
    Started,
    StreamEvent,
    Timings,
    TokenLogprobs,
    Tokens,
    TokenText,
)
from autoglmd.messages.sessions import SessionInfo
from autoglmd.messages.status import DaemonStatus, EngineStats, ModelInfo
from autoglmd.sessions.conversation import TurnMark
from openglm.v1 import admin_pb2, inference_pb2, models_pb2, sessions_pb2


def event_response(event: StreamEvent) -> inference_pb2.GenerateResponse:
    """One event of a stream."""
    match event:
        case Started():
            return inference_pb2.GenerateResponse(started=_started(event))
        case PrefillProgress():
            progress = inference_pb2.PrefillProgress(done_tokens=event.done_tokens, total_tokens=event.total_tokens)
            return inference_pb2.GenerateResponse(prefill=progress)
        case TokenText():
            return inference_pb2.GenerateResponse(token=_token(event))
        case Finished():
            return inference_pb2.GenerateResponse(finished=_finished(event))


def resumed_response(event: StreamEvent) -> inference_pb2.ResumeResponse:
    """One event of a stream that goes on: it has the same kinds, under the same names."""
    same = event_response(event)
    kind = same.WhichOneof("event")
    return inference_pb2.ResumeResponse(**{kind: getattr(same, kind)})


def tokenize_response(tokens: Tokens) -> inference_pb2.TokenizeResponse:
    """Ids and pieces, one of each per token."""
    return inference_pb2.TokenizeResponse(ids=tokens.ids, pieces=tokens.pieces)


def model_response(model: ModelInfo) -> models_pb2.Model:
    """One model, as an operator sees it."""
    return models_pb2.Model(
        name=model.name,
        version=model.version,
        state=f"MODEL_STATE_{model.state.name}",
        detail=model.detail,
        is_default=model.is_default,
        architecture=model.architecture,
        path=model.path,
        weights_bytes=model.weights_bytes,
        precision=model.precision,
        kv_precision=model.kv_precision,
        context_tokens=model.context_tokens,
        rows=model.rows,
        vocab_size=model.vocab_size,
        layers=model.layers,
        kv_bytes_per_token=model.kv_bytes_per_token,
        provider=model.provider,
        fallback=model.fallback,
        prepared=model.prepared,
        batch_invariant=model.batch_invariant,
    )


def session_response(session: SessionInfo) -> sessions_pb2.Session:
    """One session, as its owner sees it."""
    return sessions_pb2.Session(
        session_id=session.session_id,
        model=session.model,
        created=_timestamp(session.created),
        last_used=_timestamp(session.last_used),
        expires=_timestamp(session.expires),
        turns=session.turns,
        tokens=session.tokens,
        disk_bytes=session.disk_bytes,
        cached_tokens=session.cached_tokens,
        unfinished=session.unfinished,
    )


def turn_response(turn: TurnMark) -> sessions_pb2.Turn:
    """Where one turn lies in its session."""
    return sessions_pb2.Turn(number=turn.number, answer_start=turn.answer_start, end=turn.end, messages=turn.messages)


def _timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    whole, part = divmod(seconds, 1)
    return timestamp_pb2.Timestamp(seconds=int(whole), nanos=int(part * 1e9))


def status_response(status: DaemonStatus) -> admin_pb2.StatusResponse:
    """The daemon's state and counters."""
    return admin_pb2.StatusResponse(
        version=status.version,
        state=f"DAEMON_STATE_{status.state.name}",
        uptime_seconds=status.uptime,
        pid=status.pid,
        resident_bytes=status.resident_bytes,
        onnxruntime_version=status.onnxruntime_version,
        available_providers=status.available_providers,
        models=[model_response(model) for model in status.models],
        engines=[_engine(engine) for engine in status.engines],
        open_streams=status.open_streams,
        refused=status.refused,
        sessions=admin_pb2.SessionsStatus(**asdict(status.sessions)),
    )


def _started(event: Started) -> inference_pb2.Started:
    return inference_pb2.Started(
        request_id=event.request_id,
        model=event.model,
        model_version=event.model_version,
        prompt_tokens=event.prompt_tokens,
        cached_tokens=event.cache.cached_tokens,
        cache_tier=f"CACHE_TIER_{event.cache.tier.name}" if event.cache.tier else None,
        cache_miss=f"CACHE_MISS_{event.cache.miss.name}" if event.cache.miss else None,
        seed=event.seed,
        trace_id=event.trace_id,
        dropped_messages=event.dropped_messages,
        unsaved_seconds=event.unsaved_seconds,
    )


def _token(event: TokenText) -> inference_pb2.Token:
    return inference_pb2.Token(
        text=event.text, ids=event.ids, logprobs=[_token_logprobs(entry) for entry in event.logprobs]
    )


def _token_logprobs(entry: TokenLogprobs) -> inference_pb2.TokenLogprobs:
    return inference_pb2.TokenLogprobs(
        chosen=_logprob(entry.chosen), top=[_logprob(alternative) for alternative in entry.top]
    )


def _logprob(entry: Logprob) -> inference_pb2.Logprob:
    return inference_pb2.Logprob(id=entry.token_id, text=entry.text, logprob=entry.logprob)


def _finished(event: Finished) -> inference_pb2.Finished:
    # Only what was raised on purpose may show its text; see status.py.
    known = event.error if isinstance(event.error, AutoglmError) else None
    unknown_code = "INTERNAL" if event.error is not None else ""
    return inference_pb2.Finished(
        reason=f"FINISH_REASON_{event.reason.name}",
        usage=inference_pb2.Usage(
            prompt_tokens=event.usage.prompt_tokens,
            cached_tokens=event.usage.cached_tokens,
            output_tokens=event.usage.output_tokens,
        ),
        timings=_timings(event.timings),
        stop=event.stop,
        error_code=known.code if known else unknown_code,
        error_message=known.message if known else "",
    )


def _timings(timings: Timings) -> inference_pb2.Timings:
    return inference_pb2.Timings(
        queue_ms=timings.queue * 1e3,
        prefill_ms=timings.prefill * 1e3,
        decode_ms=timings.decode * 1e3,
        total_ms=timings.total * 1e3,
    )


def _engine(engine: EngineStats) -> admin_pb2.EngineStatus:
    return admin_pb2.EngineStatus(
        model=engine.model,
        rows=engine.rows,
        rows_in_use=engine.rows_in_use,
        waiting=engine.waiting,
        requests_started=engine.requests_started,
        requests_finished=engine.requests_finished,
        prompt_tokens=engine.prompt_tokens,
        output_tokens=engine.output_tokens,
        steps=engine.steps,
        prefill_seconds=engine.prefill_seconds,
        decode_seconds=engine.decode_seconds,
        decoded_tokens=engine.decoded_tokens,
    )
