"""`Models` and `Admin` over the wire."""

from openglm.v1 import admin_pb2, models_pb2
from tests.contract.conftest import Door


async def test_list_models_answers_with_every_configured_one(door: Door) -> None:
    """Loaded or not."""
    response = await door.models.ListModels(models_pb2.ListModelsRequest())
    (model,) = response.models
    assert (model.name, model.state, model.is_default) == ("glm-small", models_pb2.MODEL_STATE_READY, True)


async def test_get_model_without_a_name_is_the_default(door: Door) -> None:
    """As in Generate."""
    response = await door.models.GetModel(models_pb2.GetModelRequest())
    assert (response.model.name, response.model.context_tokens) == ("glm-small", 4096)


async def test_status_answers_with_state_counters_and_models(door: Door) -> None:
    """What `autoglmctl status` shows."""
    response = await door.admin.Status(admin_pb2.StatusRequest())
    assert response.state == admin_pb2.DAEMON_STATE_SERVING
    assert (response.uptime_seconds, response.pid, response.refused) == (12.5, 42, 3)
    assert list(response.available_providers) == ["CPUExecutionProvider"]
    assert [model.name for model in response.models] == ["glm-small"]
    assert (response.engines[0].rows_in_use, response.engines[0].steps) == (1, 9)
