"""What is tried of a model when it is loaded."""

from pathlib import Path

import numpy as np
import pytest

from autoglmd.errors.model import ModelUnsupportedError
from autoglmd.model.bundle import CONFIG_FILE, read_bundle
from autoglmd.model.runner import Ids, Logits
from autoglmd.model.self_check import rows_are_independent, try_once
from tests.support.fake_runner import FakeRunner
from tests.support.fixture_models import FOLDER, TINY_MODELS, copy_bundle, edit_json, open_runner


def test_a_context_that_the_graph_does_not_have_is_refused_with_both_numbers(tmp_path: Path) -> None:
    """A configuration may promise more positions than the rotary table has; nobody's answer pays for it later."""
    folder = copy_bundle("tiny-fp32", tmp_path / "bundle")
    edit_json(folder / CONFIG_FILE, lambda settings: settings["model"].update(context_length=100_000))
    with pytest.raises(ModelUnsupportedError, match=r"position 2048; genai_config.json says 100000"):
        open_runner(folder, context_tokens=2048)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_rows_of_our_models_do_not_depend_on_one_another(name: str, tmp_path: Path) -> None:
    """What the invariance of answers rests on."""
    runner = open_runner(copy_bundle(name, tmp_path / "bundle"))
    assert rows_are_independent(runner)
    runner.close()


class DisplacedRunner(FakeRunner):
    """Tells of the column before the one that was asked for."""

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """Logits of a prompt that is a token shorter."""
        logits = super().prefill(row, ids, past, final=final)
        return self._logits([row], [past + len(ids) - 1]) if final else logits


def test_a_graph_that_tells_of_another_column_is_refused() -> None:
    """Its input has our name and another meaning; every answer would begin with the wrong token."""
    bundle = read_bundle(FOLDER / "tiny-int8")
    try_once(FakeRunner(), bundle, chooses=True)
    with pytest.raises(ModelUnsupportedError, match="a prompt's last token has other logits"):
        try_once(DisplacedRunner(), bundle, chooses=True)


def test_only_graphs_that_are_told_a_column_are_asked_for_it() -> None:
    """The others' first tokens come of the kernel that the next ones come of, or of every column's logits."""
    runner = DisplacedRunner()
    try_once(runner, read_bundle(FOLDER / "tiny-int8"), chooses=False)
    assert runner.calls


class PairingRunner(FakeRunner):
    """Computes an odd number of rows another way, as some kernels do."""

    def decode(self, ids: Ids, lengths: Ids) -> Logits:
        """The last bit of an odd batch differs."""
        logits = super().decode(ids, lengths)
        return np.nextafter(logits, np.float32(9)) if len(ids) % 2 else logits


class CrowdedRunner(FakeRunner):
    """Computes prompts otherwise when there are several."""

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """The last bit of a crowd differs."""
        logits = super().prefill_fresh(first_row, ids, lengths)
        return np.nextafter(logits, np.float32(9)) if len(ids) > 1 else logits


class ChunkedRunner(FakeRunner):
    """Computes the second chunk of a prompt otherwise."""

    def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
        """The last bit behind a past differs."""
        logits = super().prefill(row, ids, past, final=final)
        return np.nextafter(logits, np.float32(9)) if past else logits


@pytest.mark.parametrize("kind", [CrowdedRunner, ChunkedRunner])
def test_first_tokens_that_depend_on_how_a_prompt_was_computed_are_found(kind: type[FakeRunner]) -> None:
    """They come of the prefill, so the prefill is tried as well."""
    assert not rows_are_independent(kind())


def test_a_kernel_that_takes_rows_in_pairs_is_found() -> None:
    """One row alone and two together differ in the last bit."""
    assert rows_are_independent(FakeRunner())
    assert not rows_are_independent(PairingRunner())
