"""Model names and what has become of them."""

import pytest

from autoglmd.errors.availability import ModelFailedError, ModelNotReadyError
from autoglmd.errors.request import ModelNotFoundError
from autoglmd.messages.status import ModelInfo, ModelState
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.served import ServedModel


def served(name: str) -> ServedModel:
    """A loaded model, of which only the name matters here."""
    return ServedModel(ModelInfo(name, ModelState.READY, version="v1"), *[None] * 5)  # type: ignore[arg-type]


@pytest.fixture
def catalog() -> Catalog:
    """Three names, the first the default, of which one is loaded, one failed, one not looked at yet."""
    catalog = Catalog({name: f"/srv/{name}" for name in "abc"}, "a")
    catalog.add(served("a"))
    catalog.mark("b", ModelState.FAILED, "its weights are broken.")
    return catalog


def test_an_empty_name_means_the_default(catalog: Catalog) -> None:
    """Requests that name nothing, and those that name the default, meet the same model."""
    assert catalog.serving("") is catalog.serving("a")
    assert catalog.info("").is_default
    assert [each.info.name for each in catalog.served()] == ["a"]


def test_a_model_that_failed_says_why(catalog: Catalog) -> None:
    """A request for it gets the reason that the operator gets."""
    with pytest.raises(ModelFailedError, match="'b' is not ready: its weights are broken") as caught:
        catalog.serving("b")
    assert (caught.value.state, caught.value.reason) == ("failed", "its weights are broken.")
    assert catalog.info("b").state is ModelState.FAILED


@pytest.mark.parametrize("state", [ModelState.LOADING, ModelState.PREPARING])
def test_a_model_that_is_loading_says_so(catalog: Catalog, state: ModelState) -> None:
    """The client may try again."""
    catalog.mark("c", state)
    with pytest.raises(ModelNotReadyError, match=r"it is (loading|being prepared).*\. Try again") as caught:
        catalog.serving("c")
    assert (type(caught.value), caught.value.name, caught.value.state) == (ModelNotReadyError, "c", state.value)


def test_a_model_that_is_not_served_still_has_its_folder(catalog: Catalog) -> None:
    """The operator sees where it was looked for."""
    catalog.mark("c", ModelState.ABSENT, "/srv/c is not a folder.")
    assert [catalog.info(name).path for name in "bc"] == ["/srv/b", "/srv/c"]


def test_an_unknown_name_is_answered_with_the_known_ones(catalog: Catalog) -> None:
    """The error has the names that are really served."""
    with pytest.raises(ModelNotFoundError, match=r"'x'.*Served: a\."):
        catalog.serving("x")


def test_a_model_that_is_not_on_this_box_is_not_found(catalog: Catalog) -> None:
    """Trying again later is of no use, so it is not said; where it was looked for is."""
    catalog.mark("c", ModelState.ABSENT, "/srv/c is not a folder.")
    with pytest.raises(ModelNotFoundError, match=r"'c' is not on this box: /srv/c is not a folder.*Served: a\."):
        catalog.serving("c")


def test_the_models_are_listed_in_the_configurations_order(catalog: Catalog) -> None:
    """Whatever became of them."""
    assert [info.name for info in catalog.infos()] == ["a", "b", "c"]
