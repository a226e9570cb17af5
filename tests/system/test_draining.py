"""How a daemon stops: nobody in, everybody out, in order and within the limit."""

import asyncio
import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from openglm.v1 import admin_pb2, inference_pb2
from tests.support.daemon_process import LIMIT_SECONDS, Talk, configure, eventually, serving
from tests.support.rich_status import reason
from tests.system.conftest import Pace, end_of, read, request, serving_paced, wait_for_kind

STEP_SECONDS = 0.03


async def test_running_streams_finish_and_new_ones_are_refused(configured: Path, pace: Pace) -> None:
    """After SIGTERM health says NOT_SERVING, new requests hear DRAINING, running ones reach their end, exit 0."""
    with serving_paced(configured, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            health = health_pb2_grpc.HealthStub(talk.channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            pace.seconds(STEP_SECONDS)
            running = talk.inference.Generate(request(max_tokens=60))
            await wait_for_kind(running, "token")
            daemon.signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

            async def draining() -> bool:
                return (await talk.status()).state == admin_pb2.DAEMON_STATE_DRAINING

            await eventually(draining)
            _, refused = await read(talk.inference.Generate(request()))
            assert refused is not None
            assert (refused.code(), reason(refused)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert daemon.is_running
            finished = await wait_for_kind(running, "finished")
            assert finished.finished.reason == inference_pb2.FINISH_REASON_LENGTH
            assert finished.finished.usage.output_tokens == 60
        assert daemon.wait_exit() == 0
        assert not daemon.socket.exists()


async def test_the_limit_ends_every_stream_with_a_clear_reason(tmp_path: Path, pace: Pace) -> None:
    """In rows, prefetched and in line: each has one Finished(SHUTDOWN), and the call says UNAVAILABLE."""
    folder = configure(tmp_path, "engine = { rows = 2, prefetch_depth = 2, queue_depth = 64 }", drain_seconds=0.2)
    with serving_paced(folder, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            pace.seconds(STEP_SECONDS)
            first = talk.inference.Generate(request(max_tokens=400))
            await wait_for_kind(first, "token")
            rest = [asyncio.create_task(read(talk.inference.Generate(request(max_tokens=400)))) for _ in range(11)]

            async def all_in() -> bool:
                return (await talk.status()).open_streams == 12

            await eventually(all_in)
            daemon.signal(signal.SIGTERM)
            assert (await wait_for_kind(first, "finished")).finished.reason == inference_pb2.FINISH_REASON_SHUTDOWN
            for events, error in await asyncio.gather(*rest):
                assert end_of(events).reason == inference_pb2.FINISH_REASON_SHUTDOWN
                assert end_of(events).error_code == "DRAINING"
                assert error is not None
                assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert daemon.wait_exit() == 0
        daemon.wait_log(lambda entry: entry["msg"] == "streams ended by the drain limit" and entry["streams"] == 12)


async def test_a_second_sigterm_ends_the_waiting(configured: Path, pace: Pace) -> None:
    """Whoever asks twice does not want to wait for the limit: streams end with SHUTDOWN at once, exit 0."""
    with serving_paced(configured, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            pace.seconds(STEP_SECONDS)
            running = talk.inference.Generate(request(max_tokens=500))
            await wait_for_kind(running, "token")
            daemon.signal(signal.SIGTERM)

            async def draining() -> bool:
                return (await talk.status()).state == admin_pb2.DAEMON_STATE_DRAINING

            await eventually(draining)
            daemon.signal(signal.SIGTERM)
            finished = await wait_for_kind(running, "finished")
            assert finished.finished.reason == inference_pb2.FINISH_REASON_SHUTDOWN
            assert finished.finished.usage.output_tokens < 400
        assert daemon.wait_exit() == 0


async def test_an_idle_daemon_stops_at_once_with_clients_connected(configured: Path, pace: Pace) -> None:
    """The drain limit of a minute is for streams, not for connections."""
    with serving_paced(configured, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            await talk.status()
            async with asyncio.timeout(30):
                daemon.signal(signal.SIGTERM)
                assert await asyncio.to_thread(daemon.wait_exit) == 0


async def test_a_client_that_leaves_lets_the_drain_end(configured: Path, pace: Pace) -> None:
    """The last stream's client vanishes: nothing is left to wait for."""
    with serving_paced(configured, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            pace.seconds(STEP_SECONDS)
            running = talk.inference.Generate(request(max_tokens=500))
            await wait_for_kind(running, "token")
            daemon.signal(signal.SIGTERM)
            running.cancel()
            async with asyncio.timeout(30):
                assert await asyncio.to_thread(daemon.wait_exit) == 0


async def test_the_end_of_the_parent_is_the_end_of_a_daemon_that_was_told_so(configured: Path, pace: Pace) -> None:
    """With --exit-with-parent the end of standard input drains like SIGTERM: the stream finishes first."""
    command = ("-m", "tests.support.paced_daemon", str(pace.file), "serve", "--exit-with-parent")
    with serving(configured, command) as daemon:
        async with Talk(daemon.socket) as talk:
            pace.seconds(STEP_SECONDS)
            running = talk.inference.Generate(request(max_tokens=20))
            await wait_for_kind(running, "token")
            daemon.close_stdin()
            finished = await wait_for_kind(running, "finished")
            assert finished.finished.reason == inference_pb2.FINISH_REASON_LENGTH
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await asyncio.to_thread(daemon.wait_exit) == 0


async def test_without_that_option_a_closed_input_is_nothing(configured: Path, pace: Pace) -> None:
    """A service has no standard input to speak of."""
    with serving_paced(configured, pace) as daemon:
        daemon.close_stdin()
        async with Talk(daemon.socket) as talk:
            events, error = await read(talk.inference.Generate(request()))
        assert error is None
        assert end_of(events).reason == inference_pb2.FINISH_REASON_LENGTH
