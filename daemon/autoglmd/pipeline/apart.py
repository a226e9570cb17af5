"""Work apart from the event loop, in threads that nobody has to wait for."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def run_apart(name: str, call: Callable[[], Result]) -> Result:
    """Run `call` in a daemon thread of its own, and wait for its result.

    Unlike asyncio.to_thread's, that thread keeps nobody from leaving: whoever waits here can be cancelled, and neither
    the loop nor the process joins it at its end.

    Raises:
        Exception: what `call` raised; a RuntimeError for what is none (a panic in a library written in Rust), and where
            no thread can be started.
    """
    return await start_apart(name, call)


def start_apart(name: str, call: Callable[[], Result]) -> "asyncio.Future[Result]":
    """As `run_apart`, without waiting. Raises RuntimeError where no thread can be started, and then alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(how: Callable[[Any], None], outcome: object) -> None:
        if not done.done():
            how(outcome)

    def work() -> None:
        how: Callable[[Any], None] = done.set_exception
        outcome: object
        try:
            outcome = call()
            how = done.set_result
        except Exception as error:  # noqa: BLE001 - it is raised again, where somebody waits for it
            outcome = error
        except BaseException as error:  # noqa: BLE001 - and this would end the loop
            outcome = RuntimeError(f"{name} broke down")
            outcome.__cause__ = error
        # A loop that has closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, how, outcome)

    threading.Thread(target=work, name=name, daemon=True).start()
    return done
