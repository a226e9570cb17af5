"""The daemon: builds every room once, starts, serves, drains and stops them in that order."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.metadata import version

import psutil

from autoglmd.config.rooms import Config, ModelConfig
from autoglmd.edge.server import STOP_SECONDS, EdgeServer
from autoglmd.errors.base import AutoglmError
from autoglmd.errors.model import ModelError, ModelMissingError
from autoglmd.host.amx import amx_is_lent
from autoglmd.host.clock import Clock
from autoglmd.host.facts import read_facts
from autoglmd.host.systemd import Notifier
from autoglmd.messages.status import DaemonState, DaemonStatus, ModelState
from autoglmd.model.bundle import resolve_folder
from autoglmd.model.ort_runner import available_providers, onnxruntime_version
from autoglmd.pipeline.apart import run_apart
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.gateway import Gateway
from autoglmd.pipeline.loading import LoadContext, load_model
from autoglmd.pipeline.model_preparer import PREPARE_SECONDS, Preparer
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import open_sessions
from autoglmd.pipeline.session_desk import SessionDesk
from autoglmd.telemetry.health import EngineBeat, judge

log = logging.getLogger(__name__)

# Past the drain limit: what streams get to send their last words, and then engine threads to end a step.
LAST_WORDS_SECONDS = 5.0
# For one model: preparing it, and then loading it.
LOADING_SECONDS = PREPARE_SECONDS + 600.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon is given from outside."""

    clock: Clock
    notifier: Notifier


class Daemon:
    """One daemon, from start to stop. Lives on the event loop."""

    def __init__(self, config: Config, surroundings: Surroundings) -> None:
        self._config = config
        self._clock = surroundings.clock
        self._notifier = surroundings.notifier
        self._stop = asyncio.Event()
        self._ready = False
        self._started_at = self._clock.monotonic()
        self._router = Router(asyncio.get_running_loop())
        self._preparer = Preparer()
        self._book = open_sessions(config.state_dir / "sessions", config.sessions, self._clock)
        folders = {name: str(resolve_folder(model.path)) for name, model in config.models.items()}
        self._catalog = Catalog(folders, config.default_model)
        self._gateway = Gateway(self._catalog, self._book, self._router, self._clock, self._describe)
        self._desk = SessionDesk(self._book, self._catalog.speakers, self._clock.wall)
        self._edge = EdgeServer(config.server, self._gateway, self._desk, self._clock)

    async def run(self) -> None:
        """Serve until asked to stop.

        Raises:
            AutoglmError: the daemon cannot start; everything that was started has been stopped again.
        """
        self._watch_signals()
        try:
            if await self._start():
                async with asyncio.TaskGroup() as tasks:
                    watchdog = tasks.create_task(self._feed_watchdog())
                    await self._stop.wait()
                    watchdog.cancel()
        finally:
            await self._shut_down()

    def stop(self) -> None:
        """Ask the daemon to drain and stop. One that still loads leaves the thread that does to itself.

        Who asks a second time does not want to wait for the drain limit: streams end at once, with SHUTDOWN.
        """
        if self._stop.is_set():
            self._gateway.end_all()
        self._stop.set()

    async def _start(self) -> bool:
        """Load everything. False: we were asked to stop before that was done."""
        # The socket comes first: a second daemon on it fails before it loads anything, and clients that ask early
        # are told that the model is loading.
        await self._edge.start()
        if not await self._unless_stopped(self._load_models()):
            return False
        self._ready = True
        await self._edge.set_serving(True)
        ready = [info.name for info in self._catalog.infos() if info.state is ModelState.READY]
        self._notifier.ready()
        self._notifier.status(f"Serving {', '.join(ready)}")
        places = {"socket": str(self._edge.socket), "state_dir": str(self._config.state_dir)}
        log.info("serving", extra={"models": ready, **places, "amx": amx_is_lent()})
        return True

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Do it, and raise what it raises. False: we were asked to stop first, and it was broken off."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.wait((task,))
        return False

    async def _load_models(self) -> None:
        prepared = self._config.state_dir / "prepared"
        context = LoadContext(
            clock=self._clock,
            router=self._router,
            book=self._book,
            past_bytes=self._config.sessions.past_bytes,
            cores=read_facts().cores,
            prepared=prepared,
            preparer=self._preparer,
            tell=self._tell,
        )
        failed: AutoglmError | None = None
        for name, config in self._config.models.items():
            try:
                served = await self._load(name, config, context)
            except AutoglmError as error:
                state = ModelState.ABSENT if isinstance(error, ModelMissingError) else ModelState.FAILED
                self._catalog.mark(name, state, error.message)
                is_default = name == self._config.default_model
                failed = error if is_default else failed
                log.log(
                    logging.WARNING if is_default or state is ModelState.FAILED else logging.INFO,
                    "model not served: %s",
                    error.message,
                    extra={"model": name, "code": error.code},
                )
            else:
                self._catalog.add(served)
                log.info("model loaded", extra={"model": name, "version": served.info.version})
        if failed is not None:
            # Without the model that unnamed requests mean, starting would only hide the mistake.
            raise failed

    def _tell(self, name: str, state: ModelState) -> None:
        self._router.call(lambda: self._catalog.mark(name, state))

    async def _load(self, name: str, config: ModelConfig, context: LoadContext) -> ServedModel:
        self._notifier.starting(LOADING_SECONDS)
        try:
            return await run_apart(f"load-{name}", lambda: load_model(name, config, context))
        except AutoglmError:
            raise
        except Exception as error:
            # A defect of ours, which one bundle brings out, must not keep the others from being served.
            log.exception("loading broke down", extra={"model": name})
            raise ModelError(f"{config.path}: loading broke down: {error!r}. The log has the details.") from error

    async def _shut_down(self) -> None:
        self._notifier.stopping(STOP_SECONDS + self._config.server.drain_seconds + 3 * LAST_WORDS_SECONDS)
        self._preparer.stop()
        await self._edge.drain()
        self._desk.drain()
        if self._gateway.admission.count:
            log.info(
                "draining; another signal ends the streams now",
                extra={"streams": self._gateway.admission.count, "seconds": self._config.server.drain_seconds},
            )
        late = await self._gateway.drain(self._config.server.drain_seconds)
        if late:
            log.warning("streams ended by the drain limit", extra={"streams": late})
        await self._edge.stop(LAST_WORDS_SECONDS)
        # All at once, so that what was promised above holds for any number of models.
        await asyncio.gather(*(_stop_model(served) for served in self._catalog.served()))
        # Behind the engines, whose last words are turns to be saved.
        if not await run_apart("save-sessions", lambda: self._book.stop(LAST_WORDS_SECONDS)):
            log.error("turns could not be saved before the end")
        log.info("stopped")

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    async def _feed_watchdog(self) -> None:
        interval = self._notifier.watchdog_seconds
        if interval is None:
            return
        pinged_at: float | None = None
        while True:
            # The whole interval for one step: on a slow box a chunk of a large model may take most of it.
            verdict = judge(
                self._beats(pinged_at), self._clock.monotonic(), stall_seconds=interval, saving=self._book.is_whole
            )
            if verdict.feed:
                self._notifier.watchdog()
            else:
                log.error("the watchdog is not fed: %s", verdict.reason)
            pinged_at = self._clock.monotonic()
            for served in self._catalog.served():
                served.engine.ping()
            # So that one or two that come late do no harm.
            await asyncio.sleep(interval / 3)

    def _beats(self, pinged_at: float | None) -> list[EngineBeat]:
        return [_beat(served, pinged_at) for served in self._catalog.served()]

    @property
    def _state(self) -> DaemonState:
        if self._gateway.admission.is_draining:
            return DaemonState.DRAINING
        return DaemonState.SERVING if self._ready else DaemonState.STARTING

    def _describe(self, gateway: Gateway) -> DaemonStatus:
        return DaemonStatus(
            version=version("autoglmd"),
            state=self._state,
            uptime=self._clock.monotonic() - self._started_at,
            pid=os.getpid(),
            resident_bytes=psutil.Process().memory_info().rss,
            onnxruntime_version=onnxruntime_version(),
            available_providers=available_providers(),
            models=gateway.models(),
            engines=tuple(served.stats for served in self._catalog.served()),
            open_streams=gateway.admission.count,
            refused=gateway.admission.refused,
            sessions=gateway.sessions(),
        )


async def _stop_model(served: ServedModel) -> None:
    if not await run_apart(f"stop-{served.info.name}", lambda: served.stop(LAST_WORDS_SECONDS)):
        log.error("an engine did not stop", extra={"model": served.info.name})


def _beat(served: ServedModel, pinged_at: float | None) -> EngineBeat:
    pulse = served.engine.pulse
    return EngineBeat(
        model=served.info.name,
        busy=pulse.busy,
        last_progress=pulse.last_progress,
        answered_ping=pinged_at is None or pulse.last_progress >= pinged_at,
        prefetching=served.prefetcher.is_whole,
    )
