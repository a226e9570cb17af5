"""What systemd hears of a daemon: ready, status, and signs of life only where there is life."""

import asyncio
import os
import signal
from pathlib import Path

from tests.support.daemon_process import DaemonProcess, Talk, configure
from tests.support.notify_socket import NotifySocket
from tests.system.conftest import Pace, read, request, serving_paced, wait_for_kind

WATCHDOG_SECONDS = 1.5


def environment(notify: NotifySocket, watchdog: bool = True) -> dict[str, str]:
    """As systemd sets it for a service of Type=notify with WatchdogSec."""
    seconds = {"WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))} if watchdog else {}
    return {"NOTIFY_SOCKET": str(notify.path), **seconds}


async def fed_again(notify: NotifySocket) -> bool:
    """Whether another sign of life comes, apart from those that were sent before we look."""
    await asyncio.to_thread(notify.heard_within, 0.1)
    return "WATCHDOG=1" in await asyncio.to_thread(notify.heard_within, WATCHDOG_SECONDS)


async def test_systemd_hears_ready_status_watchdog_and_stopping(configured: Path, pace: Pace) -> None:
    """READY when it serves, STATUS with the models, WATCHDOG while idle and while busy, STOPPING at the end."""
    with NotifySocket(configured / "n") as notify, serving_paced(configured, pace, **environment(notify)) as daemon:
        notify.wait("READY=1")
        assert not any(message.startswith("WATCHDOG") for message in notify.heard)
        assert notify.wait("STATUS=") == "STATUS=Serving tiny-int8"
        for _ in range(3):
            notify.wait("WATCHDOG=1")
        pace.seconds(0.05)
        async with Talk(daemon.socket) as talk:
            call = asyncio.create_task(read(talk.inference.Generate(request(max_tokens=60))))
            await asyncio.to_thread(notify.wait, "WATCHDOG=1")
            await asyncio.to_thread(notify.wait, "WATCHDOG=1")
            await call
        daemon.signal(signal.SIGTERM)
        stopping = notify.wait("STOPPING=1")
        assert "EXTEND_TIMEOUT_USEC=" in stopping
        assert daemon.wait_exit() == 0
        assert not [entry for entry in daemon.log if "watchdog is not fed" in entry["msg"]]


async def test_a_hanging_engine_is_not_covered_up(configured: Path, pace: Pace) -> None:
    """The event loop still turns and answers Status; the watchdog starves, and the log says which engine it is."""
    with NotifySocket(configured / "n") as notify, serving_paced(configured, pace, **environment(notify)) as daemon:
        notify.wait("READY=1")
        notify.wait("WATCHDOG=1")
        async with Talk(daemon.socket) as talk:
            call = talk.inference.Generate(request(max_tokens=500))
            await wait_for_kind(call, "token")
            pace.hang()
            complaint = await asyncio.to_thread(
                daemon.wait_log, lambda entry: "watchdog is not fed" in entry.get("msg", "")
            )
            assert "'tiny-int8'" in complaint["msg"]
            assert (await talk.status()).engines[0].rows_in_use == 1
            assert await fed_again(notify) is False
            call.cancel()


async def test_an_engine_that_hangs_in_its_first_step_is_not_covered_up(configured: Path, pace: Pace) -> None:
    """It was idle when it was last seen, so what tells is that it does not answer."""
    with NotifySocket(configured / "n") as notify, serving_paced(configured, pace, **environment(notify)) as daemon:
        notify.wait("READY=1")
        pace.hang()
        async with Talk(daemon.socket) as talk:
            call = talk.inference.Generate(request())
            await wait_for_kind(call, "started")
            await asyncio.to_thread(daemon.wait_log, lambda entry: "watchdog is not fed" in entry.get("msg", ""))
            assert await fed_again(notify) is False
            call.cancel()


async def test_a_hanging_engine_does_not_hang_the_stop(tmp_path: Path, pace: Pace) -> None:
    """SIGTERM ends the process although the thread never comes back, and the log says so."""
    folder = configure(tmp_path, drain_seconds=0.2)
    with serving_paced(folder, pace) as daemon:
        async with Talk(daemon.socket) as talk:
            call = talk.inference.Generate(request(max_tokens=500))
            await wait_for_kind(call, "token")
            pace.hang()
            await asyncio.sleep(0)
            daemon.signal(signal.SIGTERM)
            assert await asyncio.to_thread(daemon.wait_exit) == 0
        daemon.wait_log(lambda entry: entry["msg"] == "an engine did not stop")


def test_a_failed_start_is_never_called_ready(tmp_path: Path) -> None:
    """Only STOPPING is heard of a daemon without its model."""
    folder = configure(tmp_path, models=(str(tmp_path / "nowhere"),))
    with NotifySocket(tmp_path / "n") as notify:
        with DaemonProcess(folder, environment=environment(notify)) as daemon:
            assert daemon.wait_exit() == 1
        notify.wait("STOPPING=1")
        assert not any(message.startswith(("READY", "WATCHDOG")) for message in notify.heard)


async def test_a_watchdog_meant_for_another_process_is_not_fed(configured: Path, pace: Pace) -> None:
    """WATCHDOG_PID names somebody else: READY is told, signs of life are not."""
    with NotifySocket(configured / "n") as notify:
        others = {**environment(notify), "WATCHDOG_PID": str(os.getpid())}
        with serving_paced(configured, pace, **others) as daemon:
            notify.wait("READY=1")
            heard = notify.heard_within(WATCHDOG_SECONDS)
            assert not [message for message in heard if message.startswith("WATCHDOG")]
            assert daemon.is_running
