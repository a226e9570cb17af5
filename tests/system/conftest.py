"""What the system tests share: requests, streams, and daemons with a model as slow as a test wants."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from openglm.v1 import inference_pb2
from tests.support.daemon_process import LIMIT_SECONDS, DaemonProcess, configure, serving

Events = list[inference_pb2.GenerateResponse]


class Pace:
    """How long each run of the model takes, from now on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seconds(0)

    def seconds(self, each: float) -> None:
        """So long."""
        self._write(str(each))

    def hold(self) -> None:
        """Until another pace is set."""
        self._write("hold")

    def hang(self) -> None:
        """For ever."""
        self._write("hang")

    def _write(self, text: str) -> None:
        # In one move: the daemon may read at any time.
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.file)


@pytest.fixture
def pace(tmp_path: Path) -> Pace:
    """Full speed, at first."""
    return Pace(tmp_path / "pace")


@contextlib.contextmanager
def serving_paced(folder: Path, pace: Pace, **environment: str) -> Iterator[DaemonProcess]:
    """A configured daemon that heeds the pace."""
    command = ("-m", "tests.support.paced_daemon", str(pace.file), "serve")
    with serving(folder, command, **environment) as daemon:
        yield daemon


def request(prompt_tokens: int = 3, max_tokens: int = 8, request_id: str = "") -> inference_pb2.GenerateRequest:
    """A greedy request that goes on to its limit."""
    ids = [10 + number % 400 for number in range(prompt_tokens)]
    return inference_pb2.GenerateRequest(
        token_ids=inference_pb2.TokenIds(ids=ids),
        max_tokens=max_tokens,
        sampling=inference_pb2.Sampling(temperature=0.0),
        ignore_eos=True,
        request_id=request_id,
    )


async def read(call: grpc.aio.UnaryStreamCall) -> tuple[Events, grpc.aio.AioRpcError | None]:
    """A stream's events, and the error behind them if there is one."""
    events: Events = []
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            async for event in call:
                events.append(event)
    except grpc.aio.AioRpcError as error:
        return events, error
    return events, None


async def wait_for_kind(call: grpc.aio.UnaryStreamCall, kind: str) -> inference_pb2.GenerateResponse:
    """The stream's next event of a kind."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            event = await call.read()
            assert event is not grpc.aio.EOF, f"the stream ended before a {kind}"
            if event.WhichOneof("event") == kind:
                found: inference_pb2.GenerateResponse = event
                return found


def end_of(events: Events) -> inference_pb2.Finished:
    """The one Finished, which is the last event of a stream that began with Started."""
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds.count("finished") == 1
    assert kinds[-1] == "finished"
    return events[-1].finished


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A folder with a configuration: four rows, chunks of eight tokens, one prompt at a time on the way."""
    return configure(tmp_path, "engine = { rows = 4, prefill_chunk_tokens = 8, queue_depth = 64 }", drain_seconds=60)
