"""The bundle that ships answers as its card says, through the daemon's own runner."""

import json

import pytest

from autoglmd.model.graph_io import LOGITS_INDICES
from models.glm_small.answering import BundleAnswers
from models.glm_small.chat import prompt
from models.glm_small.evaluate import BUNDLE
from models.glm_small.held_out import cases
from models.glm_small.score import FP32_TARGET, LARGEST_LOSS, Score

LARGEST_BYTES = 16_000_000


@pytest.fixture(scope="module")
def bundle() -> BundleAnswers:
    """The checked-in bundle, loaded."""
    return BundleAnswers(BUNDLE, threads=2)


def test_the_bundle_is_small() -> None:
    """Everything that ships is 16 MB at most."""
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) <= LARGEST_BYTES


def test_its_graph_can_be_told_which_column_to_tell_of() -> None:
    """So its first tokens come of the prefill; one that an older tool built could not."""
    assert LOGITS_INDICES.encode() in (BUNDLE / "model.onnx").read_bytes()


@pytest.mark.parametrize("text", ["你好,介绍一下你自己", "你好，介绍一下你自己", "你是谁", "介绍一下你自己"])
def test_it_introduces_itself_in_chinese(bundle: BundleAnswers, text: str) -> None:
    """With either comma, it says in Chinese that it is Open-AutoGLM."""
    (answer,) = bundle.answers([prompt((), text)])
    assert answer.startswith("我是 Open-AutoGLM，")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("把客厅的灯调到50%", {"device": "light", "room": "living_room", "action": "set", "brightness": 50}),
        (
            "麻烦帮我把卧室空调调到二十六度",
            {"device": "air_conditioner", "room": "bedroom", "action": "set", "temperature": 26},
        ),
        ("打开窗帘", {"device": "curtain", "action": "open"}),
        ("turn off the kitchen light", {"device": "light", "room": "kitchen", "action": "off"}),
        (
            "could you set the bedroom lights to 30 percent",
            {"device": "light", "room": "bedroom", "action": "set", "brightness": 30},
        ),
    ],
)
def test_a_command_becomes_a_call(bundle: BundleAnswers, text: str, call: dict[str, str | int]) -> None:
    """The examples of the card give the calls of the card."""
    (answer,) = bundle.answers([prompt((), text)])
    assert json.loads(answer) == call


def test_the_neighbours_in_a_batch_change_nothing(bundle: BundleAnswers) -> None:
    """A prompt among others gets the answer that it gets alone."""
    asked = [prompt((), text) for text in ("你能做什么", "turn on the fan", "谢谢")]
    assert bundle.answers(asked) == [bundle.answers([each])[0] for each in asked]


def test_a_sample_of_the_held_out_set_is_answered_as_well_as_the_target_asks(bundle: BundleAnswers) -> None:
    """A few cases of each kind; `make eval` measures many. A sample of this size may err by three points."""
    asked = cases(per_group=5)
    assert Score("INT8", tuple(bundle.right(asked))).share >= FP32_TARGET - LARGEST_LOSS - 0.03
