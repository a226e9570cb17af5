"""Markdown, the machine's facts and the page."""

from pathlib import Path

import pytest

from benchmarks import machine, report
from benchmarks.contenders import DAEMON, DAEMON_GROUPS, LLAMA_CPP, PEERS, RACE, Contender
from benchmarks.engines.base import COMPARED_PROMPTS
from benchmarks.experiments.long_prompt import LongPrompt
from benchmarks.experiments.race import Race, order
from benchmarks.experiments.race_tables import WORKLOADS
from benchmarks.experiments.same_model import agreement
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.store import Store

SHAPE = "llama-0.43b"
ALL_PEERS = {peer: 50.0 if peer.engine == "openvino" else 30.0 for peer in PEERS}
CPUINFO = """\
processor\t: 0
cpu family\t: 6
model\t\t: 143
model name\t: Some Processor
stepping\t: 8
cache size\t: 2048 KB
flags\t\t: fpu avx2 avx512_vnni amx_int8

processor\t: 1
model name\t: Some Processor
"""


def settings(tmp_path: Path) -> Settings:
    """One shape, in a folder of the test's own."""
    return Settings(work=tmp_path / "work", output=tmp_path / "out", shapes=(SHAPE,))


def race_store(tmp_path: Path, rates: dict[Contender, float], rounds: int = 3) -> Store:
    """Some rounds of the contenders, each a token faster than the one before, and a memory of 10 GB/s."""
    store = Store(tmp_path / "results")
    for number in range(rounds):
        for contender, rate in rates.items():
            result = {"figures": dict.fromkeys(WORKLOADS, rate + number), "facts": {"kv": "int8"}}
            store.need(f"race/{SHAPE}/{contender.key}/{number}", lambda: result)  # noqa: B023  (called at once)
        sizes = dict.fromkeys(("per-token-kv8", "groups64-kv8"), 100_000_000)
        memory = {"gigabytes_per_second": {"numpy": 8.0, "c": 10.0}, "bytes_per_token": sizes}
        store.need(f"race/{SHAPE}/memory/{number}", lambda: memory)  # noqa: B023  (called at once)
    return store


def race_lines(tmp_path: Path, rates: dict[Contender, float], rounds: int = 3) -> dict[str, str]:
    """The lines of the race's section, by their first cells."""
    [section] = Race().report(settings(tmp_path), race_store(tmp_path, rates, rounds))
    return {line.split(" | ")[0].removeprefix("| "): line for line in section.body.splitlines()}


def test_a_table_is_markdown() -> None:
    """A bar inside a cell does not end it."""
    assert table(["a", "b"], [["1", "x|y"]]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n"


def test_a_ragged_table_is_refused() -> None:
    """A missing cell would shift the others under wrong headings."""
    with pytest.raises(ValueError, match="1 cells under 2"):
        table(["a", "b"], [["1"]])


def test_cpuinfo_gives_what_decides_the_kernels() -> None:
    """Model, cores, and the flags that INT8 kernels are chosen by."""
    facts = machine.parse_cpuinfo(CPUINFO)
    assert facts["model"] == "Some Processor (family/model/stepping 6/143/8)"
    assert (facts["cores"], facts["features"]) == ("2", "avx2 avx512_vnni amx_int8")


def test_an_arm_cpuinfo_is_read_too() -> None:
    """It has `Features` and part numbers."""
    facts = machine.parse_cpuinfo("processor\t: 0\nFeatures\t: fp asimddp i8mm\nCPU part\t: 0xd0c\n")
    assert (facts["model"], facts["features"]) == ("0xd0c", "asimddp i8mm")


@pytest.mark.parametrize(("ours", "verdict"), [(90.0, "reached"), (77.0, "within noise"), (50.0, "**missed**")])
def test_a_goal_is_judged_by_all_rounds(tmp_path: Path, ours: float, verdict: str) -> None:
    """A missed goal is said as loudly as a reached one, and where the rounds disagree, neither is said."""
    lines = race_lines(tmp_path, {DAEMON: ours, LLAMA_CPP: 30.0})
    assert lines["prefill, 512 tokens, to llama.cpp, Q8_0"].endswith(f") {verdict} |")


def test_two_rounds_are_not_judged(tmp_path: Path) -> None:
    """However far they lie above the goal, and neither are all goals together."""
    lines = race_lines(tmp_path, {DAEMON: 900.0, **ALL_PEERS}, rounds=2)
    assert lines["decode, 1 stream, to llama.cpp, Q8_0"].endswith("(too few rounds) |")
    assert lines["all goals reached by this one build"].endswith("| not judged: too few rounds |")


def test_one_stream_is_set_against_the_memory(tmp_path: Path) -> None:
    """10 GB/s through 100 MB are 100 tokens per second; the better of both kernels is the limit."""
    lines = race_lines(tmp_path, {DAEMON: 90.0, LLAMA_CPP: 30.0})
    assert lines[DAEMON.name].endswith("| 100 | 100 (100-100) |")
    assert lines["decode, 1 stream, to the memory's limit"].endswith("| 0.91 (0.90-0.92) reached |")


def test_a_build_must_reach_every_goal_by_itself(tmp_path: Path) -> None:
    """One misses what the other reaches; neither borrows from the other."""
    lines = race_lines(tmp_path, {DAEMON_GROUPS: 50.0, DAEMON: 90.0, **ALL_PEERS})
    together = lines["all goals reached by this one build"].split(" | ")
    assert [cell.strip(" |") for cell in together[2:]] == ["yes, 19 of 19", "**no**: 17 of 19 missed"]


def test_goals_within_noise_are_not_all_reached(tmp_path: Path) -> None:
    """One goal is left open, the others are reached: so is the whole."""
    lines = race_lines(tmp_path, {DAEMON: 84.0, **ALL_PEERS})
    assert lines["decode, 1 stream, to the memory's limit"].endswith("| 0.85 (0.84-0.86) within noise |")
    assert lines["all goals reached by this one build"].endswith("| open: 1 of 19 within noise |")


def test_nobody_reaches_all_goals_without_all_peers(tmp_path: Path) -> None:
    """A peer that was not there was not beaten."""
    lines = race_lines(tmp_path, {DAEMON: 90.0, LLAMA_CPP: 30.0})
    assert "not judged: a peer was not measured" in lines["all goals reached by this one build"]


def test_every_column_says_what_its_kv_cache_is(tmp_path: Path) -> None:
    """Half of the memory traffic of long contexts is decided by it."""
    assert race_lines(tmp_path, {DAEMON: 90.0, LLAMA_CPP: 30.0})["KV cache"] == "| KV cache | INT8 | INT8 |"


def test_a_round_that_not_all_have_run_does_not_count(tmp_path: Path) -> None:
    """It would set the minutes of one against others' minutes."""
    store = race_store(tmp_path, {DAEMON: 90.0, LLAMA_CPP: 30.0})
    late = {"figures": dict.fromkeys(WORKLOADS, 1000.0), "facts": {"kv": "int8"}}
    store.need(f"race/{SHAPE}/{DAEMON.key}/3", lambda: late)
    [section] = Race().report(settings(tmp_path), store)
    assert "median of 3 rounds" in section.body
    assert "1000" not in section.body


def test_who_was_not_measured_is_left_out(tmp_path: Path) -> None:
    """No column of guesses."""
    [section] = Race().report(settings(tmp_path), race_store(tmp_path, {DAEMON: 90.0, LLAMA_CPP: 30.0}))
    assert "OpenVINO" not in section.body
    assert list(section.plots[0].series) == [DAEMON.name, LLAMA_CPP.name]


def test_a_pause_is_judged_by_its_worst_round(tmp_path: Path) -> None:
    """Three chunks' time is too long, however short the pauses of the other rounds were."""
    store = Store(tmp_path / "results")
    for number, gap in enumerate((0.5, 1.5, 0.5)):
        result = {"chunk": 0.5, "longest_chunk": 0.6, "gap": gap}
        store.need(f"long-prompt/{SHAPE}/groups64-kv8/{number}", lambda: result)  # noqa: B023  (called at once)
    [section] = LongPrompt().report(settings(tmp_path), store)
    assert "| 500 (500-500) | 500 (500-1500) | 1.00 (1.00-3.00) **missed** |" in section.body


def test_agreement_is_the_share_of_equal_tokens() -> None:
    """Only the tokens after prompts count, not those of streams that have parted."""
    reference = {"tokens": [1] * COMPARED_PROMPTS + [5, 5]}
    answer = {"tokens": [1] * (COMPARED_PROMPTS // 2) + [2] * (COMPARED_PROMPTS // 2) + [7, 7]}
    assert agreement(answer, reference) == 0.5


def test_an_unmeasured_page_has_no_sections(tmp_path: Path) -> None:
    """The page says what was measured, and nothing else."""
    choice = settings(tmp_path)
    facts = {"processor": "Some Processor"}
    store = Store(choice.results, fingerprint=lambda: {"machine": facts, "commit": "0123456", "changed": ["daemon"]})
    store.need("race/elsewhere/0", dict)
    page = report.write(choice, store, [Race(), LongPrompt()])
    text = page.read_text(encoding="utf-8")
    assert "Some Processor" in text
    assert "0123456 with uncommitted changes in daemon/" in text
    assert text.count("## ") == 1


def test_a_persons_notes_are_taken_in(tmp_path: Path) -> None:
    """What was concluded stands above the figures."""
    choice = settings(tmp_path)
    choice.output.mkdir()
    (choice.output / report.NOTES).write_text("We lose at X, because Y.\n", encoding="utf-8")
    text = report.write(choice, Store(choice.results), []).read_text(encoding="utf-8")
    assert text.index("We lose at X") < text.index("## The machine")


def test_everyone_in_the_race_has_a_place_of_its_own() -> None:
    """Results of two contenders never mix."""
    assert len({contender.key for contender in RACE}) == len(RACE)


def test_everyone_has_every_place_in_the_order_by_turns() -> None:
    """Whoever runs behind the greediest neighbour does not always do so."""
    orders = [order(number) for number in range(2 * len(RACE))]
    assert all(set(each) == set(RACE) for each in orders)
    assert {each[0] for each in orders} == set(RACE)
    assert orders[1] != orders[0][::-1]
