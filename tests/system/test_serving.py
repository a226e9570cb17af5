"""A daemon that starts, serves several models, idles, and stops."""

import asyncio
import signal
import stat
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from autoglmd.host.amx import has_amx
from openglm.v1 import admin_pb2, inference_pb2, models_pb2
from tests.support.daemon_process import LIMIT_SECONDS, DaemonProcess, Talk, configure, serving
from tests.support.fixture_models import copy_bundle
from tests.support.rich_status import reason

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = ("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01")


def request(prompt: str = "你好", model: str = "", max_tokens: int = 8) -> inference_pb2.GenerateRequest:
    """A greedy request that goes on to its limit."""
    sampling = inference_pb2.Sampling(temperature=0.0)
    return inference_pb2.GenerateRequest(
        prompt=prompt, model=model, max_tokens=max_tokens, sampling=sampling, ignore_eos=True
    )


async def read(call: grpc.aio.UnaryStreamCall) -> list[inference_pb2.GenerateResponse]:
    """A whole stream."""
    return [event async for event in call]


async def test_a_daemon_serves_and_stops_with_nothing_left(tmp_path: Path) -> None:
    """Started, tokens, Finished; SIGTERM; exit 0; the socket is gone; every line of the log is JSON."""
    with serving(configure(tmp_path)) as daemon:
        assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660
        async with Talk(daemon.socket) as talk:
            events = await read(talk.inference.Generate(request(), timeout=LIMIT_SECONDS))
            kinds = [event.WhichOneof("event") for event in events]
            assert (kinds[0], kinds[-1]) == ("started", "finished")
            assert kinds.count("started") == kinds.count("finished") == 1
            assert sum(len(event.token.ids) for event in events) == 8
            assert events[-1].finished.reason == inference_pb2.FINISH_REASON_LENGTH
            assert (await talk.status()).state == admin_pb2.DAEMON_STATE_SERVING
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_exit() == 0
        assert daemon.said() == ""
        assert daemon.log[-1]["msg"] == "stopped"
        assert not daemon.socket.exists()


async def test_a_trace_id_is_in_every_line_of_its_request(tmp_path: Path) -> None:
    """It comes in as a traceparent, goes out in Started, and names the request in the log."""
    with serving(configure(tmp_path)) as daemon:
        async with Talk(daemon.socket) as talk:
            call = talk.inference.Generate(request(), metadata=(TRACEPARENT,), timeout=LIMIT_SECONDS)
            events = await read(call)
        assert events[0].started.trace_id == TRACE_ID
        entry = daemon.wait_log(lambda entry: entry["msg"] == "finished")
        assert entry["trace_id"] == TRACE_ID
        assert entry["request_id"] == events[0].started.request_id
        assert entry["output_tokens"] == 8


async def test_amx_is_used_only_where_the_configuration_says_so_and_changes_no_answer(tmp_path: Path) -> None:
    """The log tells; on a processor without it, it is not used either way."""
    answers, used = [], []
    for key in ("", "amx = true"):
        with serving(configure(tmp_path, key, models=("tiny-per-token",))) as daemon:
            async with Talk(daemon.socket) as talk:
                events = await read(talk.inference.Generate(request(max_tokens=32), timeout=LIMIT_SECONDS))
            used.append(daemon.wait_log(lambda entry: entry["msg"] == "serving")["amx"])
        answers.append([list(event.token.ids) for event in events])
    assert used == [False, has_amx()]
    assert answers[0] == answers[1]


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole default model, another whole one, and one whose weights are gone."""
    folder = tmp_path_factory.mktemp("two")
    broken = copy_bundle("tiny-int8", folder / "broken")
    (broken / "model.onnx.data").unlink()
    return configure(folder, models=("tiny-int8", "tiny-per-token", str(broken)))


async def test_models_are_routed_by_name_and_a_broken_one_breaks_no_other(two_models: Path) -> None:
    """Each name has its own engine and version; the broken one says what is wrong, and the daemon serves."""
    with serving(two_models) as daemon:
        async with Talk(daemon.socket) as talk:
            answers = {
                name: await read(talk.inference.Generate(request(model=name), timeout=LIMIT_SECONDS))
                for name in ("", "tiny-int8", "tiny-per-token")
            }
            started = {name: events[0].started for name, events in answers.items()}
            assert started[""].model == "tiny-int8"
            assert started["tiny-per-token"].model == "tiny-per-token"
            assert started[""].model_version == started["tiny-int8"].model_version
            assert started[""].model_version != started["tiny-per-token"].model_version

            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await read(talk.inference.Generate(request(model="broken"), timeout=LIMIT_SECONDS))
            assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert reason(refusal.value) == "MODEL_NOT_READY"
            assert "model.onnx" in str(refusal.value.details())

            listed = (await talk.models.ListModels(models_pb2.ListModelsRequest())).models
            states = {model.name: model.state for model in listed}
            assert states["broken"] == models_pb2.MODEL_STATE_FAILED
            assert states["tiny-int8"] == states["tiny-per-token"] == models_pb2.MODEL_STATE_READY
            engines = {engine.model: engine for engine in (await talk.status()).engines}
            assert {name: engine.requests_finished for name, engine in engines.items()} == {
                "tiny-int8": 2,
                "tiny-per-token": 1,
            }
        daemon.wait_log(lambda entry: entry.get("code") == "MODEL_CORRUPT" and entry["level"] == "warning")


async def test_two_models_compute_at_the_same_time(two_models: Path) -> None:
    """Two crowds, one per model, all answered: engines share the process and nothing else."""
    with serving(two_models) as daemon:
        async with Talk(daemon.socket) as talk, asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as crowd:
            calls = [
                crowd.create_task(read(talk.inference.Generate(request("hi", model, 40))))
                for model in ("tiny-int8", "tiny-per-token") * 8
            ]
        assert all(call.result()[-1].finished.usage.output_tokens == 40 for call in calls)


async def test_health_is_told_by_daemon_and_service(tmp_path: Path) -> None:
    """SERVING for the empty name and for each service, NOT_FOUND for others."""
    with serving(configure(tmp_path)) as daemon:
        async with Talk(daemon.socket) as talk:
            health = health_pb2_grpc.HealthStub(talk.channel)
            for service in ("", "openglm.v1.Inference", "openglm.v1.Models", "openglm.v1.Admin"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING


IDLE_SECONDS = 3.0


async def test_an_idle_daemon_uses_no_processor_to_speak_of(tmp_path: Path) -> None:
    """After work, and with clients connected, three seconds of nothing cost at most a hundredth of a processor.

    The cheapest of three such spells counts: a daemon that idles badly does so in each, and the end of its work, or
    what the box does beside, is in one.
    """
    with serving(configure(tmp_path)) as daemon:
        async with Talk(daemon.socket) as talk:
            await read(talk.inference.Generate(request(max_tokens=50), timeout=LIMIT_SECONDS))
            await talk.wait_idle()
            used = [await processor_seconds(daemon, IDLE_SECONDS) for _ in range(3)]
        assert min(used) <= 0.01 * IDLE_SECONDS


async def processor_seconds(daemon: DaemonProcess, spell_seconds: float) -> float:
    """What the daemon takes of a processor while that long passes."""
    before = daemon.resources.cpu_times()
    await asyncio.sleep(spell_seconds)
    after = daemon.resources.cpu_times()
    return after.user + after.system - before.user - before.system
