"""The race's section: speeds, ratios to the peers, and which of our builds reaches every goal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import (
    COLUMNS,
    DAEMON,
    LLAMA_CPP,
    LLAMA_CPP_AMX_OFF,
    OPENVINO,
    OPENVINO_AMX_OFF,
    RACERS,
    Contender,
)
from benchmarks.engines.base import WARM_STEPS
from benchmarks.experiments.section import Bars, Section
from benchmarks.job import Job
from benchmarks.markdown import table
from benchmarks.spread import Spread, paired_ratio
from benchmarks.store import OTHERS, Result, Store
from benchmarks.verdict import Outcome, Verdict, at_least

WORKLOADS = {
    "decode_1": "decode, 1 stream",
    "decode_8": "decode, 8 streams",
    "decode_16": "decode, 16 streams",
    "prefill_128": "prefill, 128 tokens",
    "prefill_512": "prefill, 512 tokens",
}
_TO_LLAMA_CPP = {"decode_1": 1.0, "decode_8": 2.0, "decode_16": 2.0, "prefill_512": 2.5}
_TO_OPENVINO = {"decode_1": 1.35, "decode_8": 1.1, "decode_16": 1.1, "prefill_128": 1.05, "prefill_512": 1.05}
GOALS = {
    LLAMA_CPP: _TO_LLAMA_CPP,
    OPENVINO: _TO_OPENVINO,
    LLAMA_CPP_AMX_OFF: _TO_LLAMA_CPP,
    OPENVINO_AMX_OFF: _TO_OPENVINO,
}
"""What we set out to reach, as ratios of ours to theirs. They were set on a processor without AMX."""
LIMIT_GOAL = 0.85
BANDWIDTH = "memory"
KV_NAMES = {"float32": "FP32", "float16": "FP16", "f16": "FP16", "int8": "INT8", "u8": "UINT8"}
"""What engines call their KV cache's elements, and what the page does."""


@dataclass(frozen=True)
class Measured:
    """One shape's results: those rounds alone in which everybody who was measured had a turn."""

    runs: dict[Contender, list[Result]]
    memory: list[Result]

    @staticmethod
    def read(store: Store, shape: str) -> Measured:
        """Take what the store has of a shape."""
        folder = f"race/{shape}"
        present = [contender for contender in COLUMNS if store.under(f"{folder}/{contender.key}")]
        names = [contender.key for contender in present]
        *runs, memory = store.paired([f"{folder}/{name}" for name in (*names, BANDWIDTH)])
        return Measured(dict(zip(present, runs, strict=True)), memory)

    def rates(self, contender: Contender, workload: str) -> list[float]:
        """Return tokens per second, one figure a round."""
        return [result["figures"][workload] for result in self.runs[contender]]

    def bandwidths(self) -> list[float]:
        """Return gigabytes per second, one figure a round."""
        return [max(result["gigabytes_per_second"].values()) for result in self.memory]

    def limits(self, ours: Contender) -> list[float]:
        """Return the tokens per second of one stream that reading the weights once allows, one figure a round."""
        size = self.size(ours)
        return [bandwidth * 1e9 / size for bandwidth in self.bandwidths()]

    def size(self, ours: Contender) -> int:
        """Return the bytes of weights that a token reads."""
        return int(self.memory[0]["bytes_per_token"][ours.kind])

    def ours(self) -> list[Contender]:
        """Return our columns."""
        return [contender for contender in RACERS if contender in self.runs]


def section(store: Store, shape: str) -> Section | None:
    """Write a shape's section; nothing where no round is whole."""
    measured = Measured.read(store, shape)
    if not measured.memory:
        return None
    body = [
        _note(len(measured.memory)),
        _rates_table(measured),
        _goal_table(measured),
        _limit_table(measured),
        _facts(measured, store, shape),
    ]
    return Section(f"Against the peers: {shape}", "\n".join(body), (_plot(shape, measured),))


def _note(rounds: int) -> str:
    return (
        f"Tokens per second; median of {rounds} rounds, and the range. A decode figure counts the steps behind the "
        f"first {WARM_STEPS} until they took {Job.decode_seconds:.0f} s ({Job.decode_tokens} steps at most). Equal "
        "seconds are unequal depths: a faster engine takes more steps, and its later ones attend to more tokens, which "
        "is to its disadvantage; the mean past of each is told below. A prefill "
        f"figure is the median of {Job.repeats} prompts. *autoglmd through gRPC* is the daemon, timed "
        "by its client: tokens while all streams decode, and a prompt's tokens by the time to the first new one on an "
        "idle daemon.\n"
    )


def _rates_table(measured: Measured) -> str:
    rows = [["KV cache", *(_kv(results[-1]) for results in measured.runs.values())]]
    for workload, title in WORKLOADS.items():
        rows.append([title, *(Spread.of(measured.rates(each, workload)).text() for each in measured.runs)])
    return table(["", *(contender.name for contender in measured.runs)], rows)


def _kv(result: Result) -> str:
    told = str(result["facts"].get("kv", "unknown"))
    return KV_NAMES.get(told, told)


def _goal_table(measured: Measured) -> str:
    """Set ratios of our columns to each measured peer, and to the memory's limit, beside their goals."""
    ours = measured.ours()
    judged = [
        (f"{WORKLOADS[workload]}, to {peer.name}", goal, [_to_peer(measured, each, peer, workload) for each in ours])
        for peer, goals in GOALS.items()
        if peer in measured.runs
        for workload, goal in goals.items()
    ]
    limits = [
        at_least(paired_ratio(measured.rates(each, "decode_1"), measured.limits(each)), LIMIT_GOAL) for each in ours
    ]
    judged.append(("decode, 1 stream, to the memory's limit", LIMIT_GOAL, limits))
    rows = [
        [title, f"at least {goal:.2f}", *(verdict.text for verdict in verdicts)] for title, goal, verdicts in judged
    ]
    columns = list(zip(*(verdicts for _, _, verdicts in judged), strict=True))
    everybody = all(peer in measured.runs for peer in GOALS)
    rows.append(["all goals reached by this one build", "", *(_together(column, everybody) for column in columns)])
    header = ["ratio, round by round", "goal, judged by all rounds", *(each.name for each in ours)]
    return table(header, rows)


def _to_peer(measured: Measured, ours: Contender, peer: Contender, workload: str) -> Verdict:
    goal = GOALS[peer][workload]
    return at_least(paired_ratio(measured.rates(ours, workload), measured.rates(peer, workload)), goal)


def _together(verdicts: Sequence[Verdict], everybody: bool) -> str:
    """One build is what a user has: its best rows do not count without its others."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    all_of_them = f"of {len(verdicts)}"
    if counts[Outcome.TOO_FEW]:
        return "not judged: too few rounds"
    noise = f"{counts[Outcome.NOISE]} {all_of_them} within noise"
    if counts[Outcome.MISSED]:
        missed = f"**no**: {counts[Outcome.MISSED]} {all_of_them} missed"
        return f"{missed}, {noise}" if counts[Outcome.NOISE] else missed
    if not everybody:
        return "not judged: a peer was not measured"
    return f"open: {noise}" if counts[Outcome.NOISE] else f"yes, {len(verdicts)} {all_of_them}"


def _limit_table(measured: Measured) -> str:
    """Show what the memory's limit was made of."""
    rows = [
        [each.name, f"{measured.size(each) / 1e6:.0f}", Spread.of(measured.limits(each)).text()]
        for each in measured.ours()
    ]
    read = f"Memory read: {Spread.of(measured.bandwidths()).text(1)} GB/s."
    return f"{read}\n\n" + table(["one stream", "MB read per token", "limit, tokens/s"], rows)


def _facts(measured: Measured, store: Store, shape: str) -> str:
    lines = []
    for contender, results in measured.runs.items():
        facts = ", ".join(f"{name} {value}" for name, value in results[-1]["facts"].items())
        lines.append(f"- {contender.name}: {facts}{_depths(results)}")
    shares = [100 * result.get(OTHERS, 0.0) for result in store.under(f"race/{shape}").values()]
    lines.append(f"- other processes took {Spread.of(shares).text()} % of the machine meanwhile")
    return "\n".join(lines) + "\n"


def _depths(results: Sequence[Result]) -> str:
    """Say how many tokens a stream's cache held on average, for every decode figure."""
    by_round: list[dict[str, float]] = [result.get("mean_past", {}) for result in results]
    if not all(by_round):
        return ""
    depths = (
        f"{Spread.of([depths[workload] for depths in by_round]).median:.0f} ({WORKLOADS[workload]})"
        for workload in by_round[0]
    )
    return f"; mean past of a counted step, tokens: {', '.join(depths)}"


def _plot(shape: str, measured: Measured) -> Bars:
    series = {
        each.name: tuple(Spread.of(measured.rates(each, workload)).bar for workload in WORKLOADS)
        for each in measured.runs
    }
    title = f"{shape}, two threads: tokens per second, more is better"
    return Bars(f"race-{shape}.png", title, "tokens/s", tuple(WORKLOADS.values()), series, DAEMON.name)
