"""Markdown, the machine's facts and the page."""

from pathlib import Path

import pytest

from benchmarks import machine, report
from benchmarks.contenders import LLAMA_CPP, PER_TOKEN, RACE
from benchmarks.experiments.long_prompt import LongPrompt
from benchmarks.experiments.race import WORKLOADS, Race
from benchmarks.experiments.same_model import COMPARED_PROMPTS, agreement
from benchmarks.markdown import table
from benchmarks.settings import Settings
from benchmarks.store import Store

SHAPE = "llama-0.43b"
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


def race_store(tmp_path: Path, ours: float, theirs: float) -> Store:
    """Two rounds of W8A8 and llama.cpp, and a memory of 10 GB/s."""
    store = Store(tmp_path / "results")
    for number in range(2):
        for contender, rate in ((PER_TOKEN, ours), (LLAMA_CPP, theirs)):
            result = {"figures": dict.fromkeys(WORKLOADS, rate + number), "facts": {"kv": "int8"}}
            store.need(f"race/{SHAPE}/{contender.key}/{number}", lambda: result)  # noqa: B023  (called at once)
        memory = {"gigabytes_per_second": {"numpy": 8.0, "c": 10.0}, "bytes_per_token": {"per-token-kv32": 100_000_000}}
        store.need(f"race/{SHAPE}/memory/{number}", lambda: memory)  # noqa: B023
    return store


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


@pytest.mark.parametrize(("ours", "verdict"), [(90.0, "reached"), (50.0, "**missed**")])
def test_a_goal_is_judged_by_the_median_ratio(tmp_path: Path, ours: float, verdict: str) -> None:
    """A missed goal is said as loudly as a reached one."""
    [section] = Race().report(settings(tmp_path), race_store(tmp_path, ours, 30.0))
    line = next(line for line in section.body.splitlines() if line.startswith("| prefill, 512 tokens, to llama.cpp"))
    assert verdict in line


def test_one_stream_is_set_against_the_memory(tmp_path: Path) -> None:
    """10 GB/s through 100 MB are 100 tokens per second; the better of both kernels is the limit."""
    [section] = Race().report(settings(tmp_path), race_store(tmp_path, 90.0, 30.0))
    assert "| autoglmd, W8A8 | 100 | 100 (100-100) | 0.91 (0.90-0.91) reached |" in section.body


def test_who_was_not_measured_is_left_out(tmp_path: Path) -> None:
    """No column of guesses."""
    [section] = Race().report(settings(tmp_path), race_store(tmp_path, 90.0, 30.0))
    assert "OpenVINO" not in section.body
    assert list(section.plots[0].series) == [PER_TOKEN.name, LLAMA_CPP.name]


def test_a_pause_is_judged_by_the_chunks_time(tmp_path: Path) -> None:
    """Three chunks' time is too long."""
    store = Store(tmp_path / "results")
    store.need(f"long-prompt/{SHAPE}/groups64-kv32/0", lambda: {"chunk": 0.5, "longest_chunk": 0.6, "gap": 1.5})
    [section] = LongPrompt().report(settings(tmp_path), store)
    assert "| 500 (500-500) | 1500 (1500-1500) | 3.00 (3.00-3.00) **missed** |" in section.body


def test_agreement_is_the_share_of_equal_tokens() -> None:
    """Only the tokens after prompts count, not those of streams that have parted."""
    reference = {"tokens": [1] * COMPARED_PROMPTS + [5, 5]}
    answer = {"tokens": [1] * (COMPARED_PROMPTS // 2) + [2] * (COMPARED_PROMPTS // 2) + [7, 7]}
    assert agreement(answer, reference) == 0.5


def test_an_unmeasured_page_has_no_sections(tmp_path: Path) -> None:
    """The page says what was measured, and nothing else."""
    choice = settings(tmp_path)
    store = Store(choice.results)
    store.need("machine", lambda: {"processor": "Some Processor"})
    page = report.write(choice, store, [Race(), LongPrompt()])
    text = page.read_text(encoding="utf-8")
    assert "Some Processor" in text
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
