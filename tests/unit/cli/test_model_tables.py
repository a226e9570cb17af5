"""What `status` and `model list` show, on a narrow screen."""

from io import StringIO

from rich.console import Console

from autoglmctl.model_tables import model_overview
from autoglmctl.status import _engine_table
from openglm import EngineStatus, ModelInfo
from openglm.v1 import models_pb2

READY = models_pb2.Model(
    name="glm-small",
    state=models_pb2.MODEL_STATE_READY,
    is_default=True,
    weights_bytes=10_300_000,
    precision="int8-per-token",
    kv_precision="int8",
    context_tokens=131_072,
    rows=64,
    provider="CPUExecutionProvider",
)
ABSENT = models_pb2.Model(
    name="glm-base",
    state=models_pb2.MODEL_STATE_ABSENT,
    detail="/var/lib/autoglmd/bundles/glm-base is not a folder. Name one that holds genai_config.json.",
)


def seen(*models: models_pb2.Model, columns: int = 80) -> list[str]:
    """The lines that a screen of that width shows."""
    from openglm import _convert

    infos: tuple[ModelInfo, ...] = _convert.models(models_pb2.ListModelsResponse(models=models))
    return _lines(*model_overview(infos), columns=columns)


def _lines(*renderables: object, columns: int) -> list[str]:
    screen = StringIO()
    Console(file=screen, width=columns).print(*renderables, sep="\n")
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_a_model_is_one_line_of_a_narrow_screen() -> None:
    """Its name, state, precision, size, context and rows, none of them cut."""
    assert seen(READY)[-1].split() == (["glm-small", "*", "ready", "int8-per-token/int8", "10.3", "MB", "131072", "64"])


def test_an_absent_model_is_a_line_below_the_table() -> None:
    """It says where the model would be, and takes no row."""
    assert seen(READY, ABSENT)[-1] == ("glm-base: not on this box (/var/lib/autoglmd/bundles/glm-base is not a folder)")


def test_without_a_model_on_the_box_there_is_no_table() -> None:
    """Headings over nothing say nothing."""
    assert len(seen(ABSENT)) == 1


def test_a_long_name_is_never_cut() -> None:
    """It goes on in the next line instead."""
    name = "a-model-with-a-name-that-is-much-longer-than-anybody-should-have-to-type-in"
    long = models_pb2.Model(name=name, state=models_pb2.MODEL_STATE_LOADING)
    assert name in "".join(line.split(" ")[0] for line in seen(long))


def test_a_fall_back_and_an_unusual_provider_are_loud() -> None:
    """Who asked for a GPU sees that it is not used; who got one sees which."""
    cuda = models_pb2.Model(name="m", state=models_pb2.MODEL_STATE_READY, provider="CUDAExecutionProvider")
    slow = models_pb2.Model(name="m", state=models_pb2.MODEL_STATE_READY, fallback="cuda is not there")
    assert seen(cuda)[-1] == "m: on CUDAExecutionProvider"
    assert seen(slow)[-1] == "m: cuda is not there"


def test_an_engine_is_one_line_of_a_narrow_screen() -> None:
    """Also after a million of everything."""
    many = 1_000_000
    engine = EngineStatus(
        model="glm-small",
        rows=64,
        rows_in_use=64,
        waiting=1024,
        requests_started=many,
        requests_finished=many,
        prompt_tokens=many,
        output_tokens=many,
        steps=many,
        prefill_seconds=100.0,
        decode_seconds=100.0,
        decoded_tokens=many,
    )
    shown = _lines(_engine_table((engine,)), columns=80)[-1]
    assert shown.split() == ["glm-small", "64", "of", "64", "1024", *["1000000"] * 2, *["10000.0"] * 2, "1000000"]
