"""Against llama.cpp and OpenVINO GenAI: the same weights, two threads, taking turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks import assets
from benchmarks.contenders import COLUMNS, LLAMA_CPP, OPENVINO, RACE, RACERS, Contender
from benchmarks.experiments.section import Bars, Section
from benchmarks.markdown import table
from benchmarks.onnx_bytes import bytes_per_token
from benchmarks.process import run_module
from benchmarks.settings import Settings
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import OTHERS, Result, Store

WORKLOADS = {
    "decode_1": "decode, 1 stream",
    "decode_8": "decode, 8 streams",
    "decode_16": "decode, 16 streams",
    "prefill_128": "prefill, 128 tokens",
    "prefill_512": "prefill, 512 tokens",
}
GOALS = {
    LLAMA_CPP.name: {"decode_1": 1.0, "decode_8": 2.0, "decode_16": 2.0, "prefill_512": 2.5},
    OPENVINO.name: {"decode_1": 1.35, "decode_8": 1.1, "decode_16": 1.1, "prefill_128": 1.05, "prefill_512": 1.05},
}
"""What we set out to reach, as ratios of ours to theirs."""
LIMIT_GOAL = 0.85
BANDWIDTH = "memory"

Rates = dict[str, list[float]]
"""Per workload, one figure a round."""


class Race:
    """Tokens per second of every contender, and the memory's speed in the same rounds."""

    name = "race"

    def measure(self, settings: Settings, store: Store) -> None:
        """Let all take one turn per round; every other round in reverse, so that a drift favours nobody."""
        for shape in settings.shapes:
            for number in range(settings.rounds):
                _take_bandwidth(settings, store, shape, number)
                for contender in RACE if number % 2 == 0 else RACE[::-1]:
                    _take_turn(settings, store, contender, f"{shape}/{number}")

    def report(self, settings: Settings, store: Store) -> Sequence[Section]:
        """Write a section per shape that has been measured."""
        shapes = [shape for shape in settings.shapes if store.under(f"race/{shape}")]
        return [_section(store, shape) for shape in shapes]


def _take_turn(settings: Settings, store: Store, contender: Contender, place: str) -> None:
    shape, number = place.split("/")

    def run() -> Result:
        print(f"race, {shape}, round {number}: {contender.name}", flush=True)
        streams, prefills = (1, 8, 16), (128, 512)
        job = contender.job(settings, shape)
        return contender.run(settings, replace(job, decode_streams=streams, prefill_tokens=prefills, seed=int(number)))

    store.need(f"race/{shape}/{contender.key}/{number}", run)


def _take_bandwidth(settings: Settings, store: Store, shape: str, number: int) -> None:
    def run() -> Result:
        sizes = {ours.key: bytes_per_token(assets.need(settings, shape, ours.kind)) for ours in RACERS}
        arguments = [str(max(sizes.values())), str(settings.threads)]
        return {
            **run_module(settings.python, "benchmarks.bandwidth", arguments, settings.threads),
            "bytes_per_token": sizes,
        }

    store.need(f"race/{shape}/{BANDWIDTH}/{number}", run)


def rates(store: Store, shape: str, contender: str) -> Rates:
    """Return the contender's figures of a shape, a list over rounds for each workload."""
    rounds = [result["figures"] for result in store.under(f"race/{shape}/{contender}").values()]
    return {workload: [figures[workload] for figures in rounds] for workload in WORKLOADS} if rounds else {}


def _section(store: Store, shape: str) -> Section:
    figures = {contender.name: rates(store, shape, contender.key) for contender in COLUMNS}
    figures = {name: found for name, found in figures.items() if found}
    rounds = min(len(found["decode_1"]) for found in figures.values())
    figures = {name: {key: runs[:rounds] for key, runs in found.items()} for name, found in figures.items()}
    body = [
        f"Tokens per second; median of {rounds} rounds, and the range.\n",
        _rates_table(figures),
        _ratio_table(figures),
        _limit_table(store, shape, figures),
        _facts_of(store, shape),
    ]
    return Section(f"Against the peers: {shape}", "\n".join(body), (_plot(shape, figures),))


def _rates_table(figures: dict[str, Rates]) -> str:
    rows = [
        [title, *(Spread.of(found[workload]).text() for found in figures.values())]
        for workload, title in WORKLOADS.items()
    ]
    return table(["", *figures], rows)


def _ratio_table(figures: dict[str, Rates]) -> str:
    """Ratios of both our schemes to each peer that was measured, beside the goal."""
    rows = []
    for peer, goals in GOALS.items():
        for workload, goal in goals.items() if peer in figures else ():
            cells = [_ratio(figures, ours.name, peer, workload, goal) for ours in RACERS]
            rows.append([f"{WORKLOADS[workload]}, to {peer}", f"{goal:.2f}", *cells])
    return table(["ours / theirs, by rounds", "goal", *(ours.name for ours in RACERS)], rows)


def _ratio(figures: dict[str, Rates], ours: str, peer: str, workload: str, goal: float) -> str:
    if ours not in figures:
        return "-"
    ratio = paired_ratio(figures[ours][workload], figures[peer][workload])
    return f"{ratio.text(2)} {'reached' if ratio.median >= goal else '**missed**'}"


def _limit_table(store: Store, shape: str, figures: dict[str, Rates]) -> str:
    """Set one stream against the time that reading the weights once takes."""
    memory = list(store.under(f"race/{shape}/{BANDWIDTH}").values())
    bandwidths = [max(result["gigabytes_per_second"].values()) for result in memory]
    rows = []
    for ours in RACERS:
        if ours.name in figures:
            runs, size = figures[ours.name]["decode_1"], memory[0]["bytes_per_token"][ours.key]
            limits = [bandwidth * 1e9 / size for bandwidth in bandwidths[: len(runs)]]
            share = paired_ratio(runs, limits)
            verdict = "reached" if share.median >= LIMIT_GOAL else "**missed**"
            rows.append([ours.name, f"{size / 1e6:.0f}", Spread.of(limits).text(), f"{share.text(2)} {verdict}"])
    header = ["one stream", "MB read per token", "limit, tokens/s", f"share of the limit (goal {LIMIT_GOAL})"]
    return f"Memory read: {Spread.of(bandwidths).text(1)} GB/s.\n\n" + table(header, rows)


def _facts_of(store: Store, shape: str) -> str:
    lines = []
    for contender in COLUMNS:
        results = list(store.under(f"race/{shape}/{contender.key}").values())
        if results:
            facts = ", ".join(f"{name} {value}" for name, value in results[-1]["facts"].items())
            lines.append(f"- {contender.name}: {facts}")
    shares = [result.get(OTHERS, 0.0) for result in store.under(f"race/{shape}").values()]
    lines.append(
        f"- other processes took {Spread.of([100 * share for share in shares]).text()} % of the machine meanwhile"
    )
    return "\n".join(lines) + "\n"


def _plot(shape: str, figures: dict[str, Rates]) -> Bars:
    series = {name: tuple(Spread.of(found[workload]).bar for workload in WORKLOADS) for name, found in figures.items()}
    title = f"{shape}, two threads: tokens per second, more is better"
    return Bars(f"race-{shape}.png", title, "tokens/s", tuple(WORKLOADS.values()), series)
