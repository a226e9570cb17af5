"""What travels to a worker."""

from pathlib import Path

from benchmarks import job as jobs
from benchmarks.job import Job


def test_a_job_survives_the_way_to_its_worker(tmp_path: Path) -> None:
    """Tuples and all."""
    job = Job("onnx", "model", 100, decode_streams=(1, 8), prefill_tokens=(128,), optimize=False)
    jobs.write(job, tmp_path / "job.json")
    assert jobs.read(tmp_path / "job.json") == job


def test_the_context_holds_the_longest_workload() -> None:
    """Prompt and output together, or the longest prefill and its first token."""
    assert Job("onnx", "model", 100, prompt_tokens=60, decode_tokens=10).context == 128
    assert Job("onnx", "model", 100, prefill_tokens=(128, 512), decode_tokens=40).context == 576


def test_there_is_a_row_for_every_stream() -> None:
    """One at least; four to compare tokens."""
    assert Job("onnx", "model", 100).most_streams == 1
    assert Job("onnx", "model", 100, decode_streams=(1, 16, 8)).most_streams == 16
    assert Job("onnx", "model", 100, compare_tokens=True).most_streams == 4
