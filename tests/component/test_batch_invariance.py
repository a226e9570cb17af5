"""An answer does not depend on its neighbours, bit for bit: tokens and log probabilities, on onnxruntime."""

from collections.abc import Iterator

import numpy as np
import pytest

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.model import attention_kernel
from autoglmd.model.bundle import resolve_folder
from autoglmd.model.runner import Logits
from tests.support.fixture_models import FOLDER, TINY_MODELS, open_runner
from tests.support.ort_engine import Answer, alone, request, running

CHUNKS = (8, 13, 256)
# One token, two, three, both sides of each chunk's half and end, several chunks.
LENGTHS = (1, 2, 3, 5, 8, 9, 10, 14, 27, 28, 66, 129, 130, 258, 300)


def requests() -> list[SequenceRequest]:
    """Prompts of all lengths, of which every second one samples; they end at different times."""
    return [
        request(str(number), length, max_tokens=3 + 5 * (number % 4), seed=None if number % 2 else 1000 + number)
        for number, length in enumerate(LENGTHS)
    ]


@pytest.fixture(scope="module", params=[0, 1 << 40], ids=["blockwise", "scores"])
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both of onnxruntime's attention kernels, whichever the daemon would choose here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_kernel, "LARGEST_SCRATCH_BYTES", request.param)
        yield


@pytest.fixture(scope="module", params=TINY_MODELS)
def model(request: pytest.FixtureRequest, kernel: None) -> str:
    """Each tiny model."""
    return str(request.param)


@pytest.fixture(scope="module")
def answers(model: str) -> dict[str, Answer]:
    """What each request gets alone, in an engine of one row with chunks that hold any prompt."""
    return {each.sequence_id: alone(model, each, 512) for each in requests()}


@pytest.mark.parametrize("chunk_tokens", CHUNKS)
def test_joining_and_leaving_neighbours_change_no_bit(
    model: str, answers: dict[str, Answer], chunk_tokens: int
) -> None:
    """Fifteen prompts through four rows, joining while others decode: each answer is the one that it gets alone."""
    waves = requests()
    with running(model, rows=4, chunk_tokens=chunk_tokens) as engine:
        for number, each in enumerate(waves):
            engine.submit(each)
            if number % 3 == 2:
                engine.log.wait_tokens(waves[number - 2].sequence_id, 1)
        engine.log.wait_ended(*answers)
        for name, expected in answers.items():
            assert engine.answer(name) == expected, f"prompt of {LENGTHS[int(name)]} tokens"


@pytest.mark.parametrize(("rows", "threads"), [(2, 1), (3, 2), (8, 1)])
def test_the_number_of_rows_changes_no_bit(model: str, answers: dict[str, Answer], rows: int, threads: int) -> None:
    """All at once, in few rows or many, and computed by one thread or two."""
    with running(model, rows=rows, chunk_tokens=64, threads=threads) as engine:
        engine.submit(*requests())
        engine.log.wait_ended(*answers)
        assert {name: engine.answer(name) for name in answers} == answers


def test_cancelled_neighbours_change_no_bit(model: str, answers: dict[str, Answer]) -> None:
    """Rows that are taken away in the middle, and moved to fill gaps, leave the others' answers as they were."""
    with running(model, rows=4, chunk_tokens=13) as engine:
        for number, each in enumerate(requests()):
            doomed = request(str(100 + number), 1 + 17 * (number % 5), max_tokens=100)
            engine.submit(doomed, each)
            if number % 2:
                engine.log.wait_ended(each.sequence_id)
            engine.engine.cancel(doomed.sequence_id)
        engine.log.wait_ended(*answers)
        assert {name: engine.answer(name) for name in answers} == answers


def test_the_same_seed_gives_the_same_answer_again(model: str) -> None:
    """Sampling is reproducible, and another seed is another answer."""
    first, again, other = (alone(model, request("7", 30, 20, seed), 64) for seed in (5, 5, 6))
    assert first == again
    assert [token for token, _ in first] != [token for token, _ in other]


def test_greedy_answers_take_the_most_probable_token(model: str) -> None:
    """Log probabilities fall in order, the chosen token is the best one, and no two prompts answer alike."""
    seen = [alone(model, request(str(number), 40, 8), 64) for number in range(4)]
    for token, report in (entry for answer in seen for entry in answer):
        assert report is not None
        assert report.chosen.token_id == token == report.top[0].token_id
        assert report.top[0].logprob >= report.top[1].logprob
        assert np.isfinite(report.chosen.logprob)
    assert len({tuple(token for token, _ in answer) for answer in seen}) == 4


def test_the_embedded_model_answers_alike_alone_and_in_company() -> None:
    """What ships keeps the promise too, at its own size and with two threads."""
    embedded = str(resolve_folder("bundled:glm-small"))
    crowd = [each for each in requests() if len(each.prompt_ids) in {1, 3, 9, 66, 129, 300}]
    expected = {each.sequence_id: alone(embedded, each, 512) for each in crowd}
    with running(embedded, rows=3, chunk_tokens=64, threads=2) as engine:
        engine.submit(*crowd)
        engine.log.wait_ended(*expected)
        assert {name: engine.answer(name) for name in expected} == expected


def test_the_two_attention_kernels_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """They round otherwise in the last bit: were they alike, the choice between them would not reach onnxruntime."""
    monkeypatch.setattr(attention_kernel, "LARGEST_SCRATCH_BYTES", 0)
    blockwise = _logits_after_a_prompt()
    monkeypatch.setattr(attention_kernel, "LARGEST_SCRATCH_BYTES", 1 << 40)
    scores = _logits_after_a_prompt()
    assert not np.array_equal(blockwise, scores)
    assert np.allclose(blockwise, scores, atol=1e-4)


def _logits_after_a_prompt() -> Logits:
    runner = open_runner(FOLDER / "tiny-fp32")
    runner.prefill(0, np.arange(6, 206), 0, final=True)
    return runner.decode(np.array([7]), np.array([200])).copy()
