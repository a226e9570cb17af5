"""Against llama.cpp and OpenVINO GenAI: the same weights, two threads, taking turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks import assets
from benchmarks.contenders import RACE, RACERS, Contender
from benchmarks.experiments import race_tables
from benchmarks.experiments.section import Section
from benchmarks.onnx_bytes import bytes_per_token
from benchmarks.process import run_module
from benchmarks.settings import Settings
from benchmarks.store import Result, Store

STREAMS = (1, 8, 16)
PREFILLS = (128, 512)
SHIFT = 5
"""How far the order rotates in two rounds; it has no divisor in common with the number of contenders."""


class Race:
    """Tokens per second of every contender, and the memory's speed in the same rounds."""

    name = "race"

    def measure(self, settings: Settings, store: Store) -> None:
        """Let all take one turn per round, in an order that changes with it."""
        for shape in settings.shapes:
            for number in range(settings.rounds):
                _take_bandwidth(settings, store, shape, number)
                for contender in order(number):
                    _take_turn(settings, store, contender, f"{shape}/{number}")

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write a section per shape that has been measured."""
        shapes = [shape for shape in settings.shapes if store.under(f"race/{shape}")]
        return [section for shape in shapes if (section := race_tables.section(store, shape))]


def order(number: int) -> tuple[Contender, ...]:
    """Return who runs after whom in a round: rotated, and every other time in reverse; a drift favours nobody."""
    first = number * SHIFT // 2 % len(RACE)
    rotated = RACE[first:] + RACE[:first]
    return rotated if number % 2 == 0 else rotated[::-1]


def _take_turn(settings: Settings, store: Store, contender: Contender, place: str) -> None:
    shape, number = place.split("/")

    def run() -> Result:
        print(f"race, {shape}, round {number}: {contender.name}", flush=True)
        job = contender.job(settings, shape)
        job = replace(job, decode_streams=STREAMS, prefill_tokens=PREFILLS, seed=int(number))
        return contender.run(settings, job)

    store.need(f"race/{shape}/{contender.key}/{number}", run, contender.ours)


def _take_bandwidth(settings: Settings, store: Store, shape: str, number: int) -> None:
    def run() -> Result:
        sizes = {ours.kind: bytes_per_token(assets.need(settings, shape, ours.kind)) for ours in RACERS}
        arguments = [str(max(sizes.values())), str(settings.threads)]
        return {
            **run_module(settings.python, "benchmarks.bandwidth", arguments, settings.threads),
            "bytes_per_token": sizes,
        }

    store.need(f"race/{shape}/{race_tables.BANDWIDTH}/{number}", run, ours=False)
