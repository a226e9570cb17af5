"""Sixty-four clients against eight rows, with every way of leaving: nothing leaks, every stream ends exactly once.

AUTOGLMD_SOAK_SECONDS sets how long; 15 by default, a minute or an hour by hand.
"""

import asyncio
import gc
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from openglm.v1 import inference_pb2
from tests.support.daemon_process import LIMIT_SECONDS, DaemonProcess, Talk, configure, eventually, serving
from tests.system.conftest import request

SOAK_SECONDS = float(os.environ.get("AUTOGLMD_SOAK_SECONDS", "15"))
CLIENTS = 64
CONNECTIONS = 8
PLACES = 50
PROMPTS = (1, 2, 3, 17, 40, 65, 129, 300)
OUTPUT_TOKENS = 24
MAY_GROW_BYTES = 12 << 20
# The daemon learns of a closed connection a little later: its descriptors are counted when they no longer change.
SAME_LOOKS = 30


@dataclass
class Ledger:
    """What the clients saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    answers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def whole(self, prompt_tokens: int, events: list[inference_pb2.GenerateResponse]) -> None:
        """A stream that was read to its end: one Started, one Finished, and the answer that this prompt always has."""
        kinds = [event.WhichOneof("event") for event in events]
        if kinds.count("started") != 1 or kinds.count("finished") != 1 or kinds[-1] != "finished":
            self.wrong.append(f"events {Counter(kinds)}")
        ids = tuple(token for event in events for token in event.token.ids)
        if events[-1].finished.reason == inference_pb2.FINISH_REASON_LENGTH:
            expected = self.answers.setdefault(prompt_tokens, ids)
            if ids != expected:
                self.wrong.append(f"prompt of {prompt_tokens}: {ids} and not {expected}")
        self.outcomes[inference_pb2.FinishReason.Name(events[-1].finished.reason)] += 1


class Clients:
    """A crowd of clients, each of which asks again and again in a manner of its own."""

    def __init__(self, socket: Path, ledger: Ledger, seed: int) -> None:
        self._talks = [Talk(socket) for _ in range(CONNECTIONS)]
        self._ledger = ledger
        self._seed = seed
        self._ends_at = 0.0

    async def run(self, seconds: float) -> None:
        """Let all of them ask for so long, and close their connections."""
        self._ends_at = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds + LIMIT_SECONDS), asyncio.TaskGroup() as crowd:
                for number in range(CLIENTS):
                    crowd.create_task(self._one(number))
        finally:
            for talk in self._talks:
                await talk.channel.close()

    async def _one(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")  # noqa: S311 - which way to leave is no secret
        talk = self._talks[number % CONNECTIONS]
        while time.monotonic() < self._ends_at:
            manner = chance.choice(
                (self._read, self._read, self._leave, self._leave_at_once, self._cancel, self._hurry)
            )
            try:
                await manner(talk, chance)
            except grpc.aio.AioRpcError as error:
                self._ledger.outcomes[error.code().name] += 1
                if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    await asyncio.sleep(chance.random() * 0.1)

    async def _read(self, talk: Talk, chance: random.Random) -> None:
        length = chance.choice(PROMPTS)
        events = [event async for event in talk.inference.Generate(request(length, OUTPUT_TOKENS))]
        self._ledger.whole(length, events)

    async def _leave(self, talk: Talk, chance: random.Random) -> None:
        call = talk.inference.Generate(request(chance.choice(PROMPTS), OUTPUT_TOKENS))
        for _ in range(chance.randint(1, OUTPUT_TOKENS)):
            if await call.read() is grpc.aio.EOF:
                break
        call.cancel()
        self._ledger.outcomes["left"] += 1

    async def _leave_at_once(self, talk: Talk, chance: random.Random) -> None:
        call = talk.inference.Generate(request(chance.choice(PROMPTS), OUTPUT_TOKENS))
        await asyncio.sleep(chance.random() * 0.02)
        call.cancel()
        self._ledger.outcomes["left at once"] += 1

    async def _cancel(self, talk: Talk, chance: random.Random) -> None:
        length, name = chance.choice(PROMPTS), f"{chance.getrandbits(64):x}"
        events = []
        async for event in talk.inference.Generate(request(length, OUTPUT_TOKENS, name)):
            events.append(event)
            if len(events) == 1:
                await talk.inference.Cancel(inference_pb2.CancelRequest(request_id=name))
        self._ledger.whole(length, events)

    async def _hurry(self, talk: Talk, chance: random.Random) -> None:
        length = chance.choice(PROMPTS)
        call = talk.inference.Generate(request(length, OUTPUT_TOKENS), timeout=chance.uniform(0.001, 0.2))
        self._ledger.whole(length, [event async for event in call])


@dataclass(frozen=True)
class Holdings:
    """What a daemon holds while it is idle and nobody is connected but us."""

    threads: int
    descriptors: int
    resident_bytes: int


async def settle(daemon: DaemonProcess) -> Holdings:
    """Once all requests are over and all connections are closed."""
    gc.collect()  # a client's connection ends with its channel object
    async with Talk(daemon.socket) as talk:
        engine = await talk.wait_idle()
        assert engine.requests_started == engine.requests_finished
        assert (await talk.status()).open_streams == 0
        process = daemon.resources
        connections: list[int] = []

        async def steady() -> bool:
            connections.append(process.num_fds())
            return len(connections) > SAME_LOOKS and len(set(connections[-SAME_LOOKS:])) == 1

        await eventually(steady)
        return Holdings(process.num_threads(), connections[-1], process.memory_info().rss)


@pytest.mark.timeout(SOAK_SECONDS + 3 * LIMIT_SECONDS)
async def test_a_crowd_that_comes_and_goes_leaves_nothing_behind(tmp_path: Path) -> None:
    """Rows, threads, descriptors, memory are as before; each answer is its prompt's; no error in the log; exit 0."""
    folder = configure(tmp_path, f"engine = {{ rows = 8, prefill_chunk_tokens = 64, queue_depth = {PLACES} }}")
    ledger = Ledger()
    with serving(folder) as daemon:
        await Clients(daemon.socket, ledger, seed=1).run(SOAK_SECONDS / 3)
        before = await settle(daemon)
        await Clients(daemon.socket, ledger, seed=2).run(SOAK_SECONDS * 2 / 3)
        after = await settle(daemon)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_exit() == 0
        assert [entry for entry in daemon.log if entry.get("level") in {"error", "critical"}] == []
        assert daemon.said() == ""
    assert ledger.wrong == []
    assert {"FINISH_REASON_LENGTH", "FINISH_REASON_CANCELLED", "left", "left at once"} <= set(ledger.outcomes)
    assert set(ledger.answers) == set(PROMPTS)
    assert after.threads <= before.threads + 1, ledger.outcomes
    assert after.descriptors <= before.descriptors + 1, ledger.outcomes
    assert after.resident_bytes <= before.resident_bytes + MAY_GROW_BYTES, ledger.outcomes
