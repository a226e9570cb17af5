"""The one table from errors to statuses."""

from collections.abc import Iterator

import pytest
from google.rpc import code_pb2, error_details_pb2

from autoglmd.edge.status import STATUS_OF, TEXT_BYTES, status_of, status_of_deadline, status_of_unexpected
from autoglmd.errors.availability import (
    DrainingError,
    ModelFailedError,
    ModelNotReadyError,
    QueueFullError,
    TransfersBusyError,
    UnavailableError,
)
from autoglmd.errors.base import AutoglmError
from autoglmd.errors.request import InvalidArgumentError
from tests.support.rich_status import detail

CLIENT_HEADER_BYTES = 8192


def tree(root: type[AutoglmError] = AutoglmError) -> Iterator[type[AutoglmError]]:
    """Every class of the error tree that is the daemon's own."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_error_class_has_its_own_line_in_the_table() -> None:
    """A new error without a status fails here, not at a user's."""
    ours = {kind for kind in tree() if kind.__module__.startswith("autoglmd.")}
    assert ours - set(STATUS_OF) == set()


def test_the_table_has_no_line_for_a_class_outside_the_tree() -> None:
    """Nor one that means OK."""
    assert set(STATUS_OF) <= set(tree())
    assert code_pb2.OK not in STATUS_OF.values()


def test_stable_codes_differ() -> None:
    """A client tells errors apart by them. A model that failed is one that is not ready, and says so by its state."""
    codes = [kind.code for kind in STATUS_OF if kind is not ModelFailedError]
    assert sorted(set(codes)) == sorted(codes)
    assert ModelFailedError.code == ModelNotReadyError.code


def test_only_what_may_pass_is_unavailable() -> None:
    """Generic clients send UNAVAILABLE again, unasked."""
    unavailable = {kind for kind, status in STATUS_OF.items() if status == code_pb2.UNAVAILABLE}
    assert unavailable == {UnavailableError, ModelNotReadyError, DrainingError}


def test_an_error_carries_its_numbers_by_name() -> None:
    """Programs do not parse sentences."""
    status = status_of(QueueFullError(64, 32, 0.5))
    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("QUEUE_FULL", "autoglmd")
    assert info.metadata == {"waiting": "64", "limit": "32", "retry_after_seconds": "0.5"}
    assert detail(status, error_details_pb2.RetryInfo).retry_delay.ToSeconds() == 0
    assert detail(status, error_details_pb2.RetryInfo).retry_delay.nanos == 500_000_000


def test_who_finds_no_place_for_a_sessions_file_is_told_when_to_come_back() -> None:
    """Clients wait and ask again by that alone."""
    status = status_of(TransfersBusyError(2))
    assert status.code == code_pb2.RESOURCE_EXHAUSTED
    assert detail(status, error_details_pb2.RetryInfo).retry_delay.ToSeconds() == 1


def test_an_invalid_argument_names_field_and_remedy() -> None:
    """In a BadRequest, where every client library looks."""
    status = status_of(InvalidArgumentError("sampling.top_p", "must be in (0, 1], not 2."))
    (violation,) = detail(status, error_details_pb2.BadRequest).field_violations
    assert (violation.field, violation.description) == ("sampling.top_p", "must be in (0, 1], not 2.")


def test_an_unexpected_error_says_where_to_look() -> None:
    """And nothing else."""
    status = status_of_unexpected("r1", "t1")
    assert status.code == code_pb2.INTERNAL
    assert "t1" in status.message
    assert detail(status, error_details_pb2.RequestInfo).request_id == "r1"


def test_a_deadline_has_a_reason_too() -> None:
    """Every status of ours has an ErrorInfo."""
    assert detail(status_of_deadline(), error_details_pb2.ErrorInfo).reason == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("letter", ["a", "é", "字", "😀"])
def test_a_long_text_is_cut_between_characters_and_fits_into_headers(letter: str) -> None:
    """Percent-encoded once, in base64 three times, and still below what clients accept."""
    status = status_of(InvalidArgumentError("f" * 100, letter * 100_000))
    assert len(status.message.encode()) <= TEXT_BYTES
    assert status.message.endswith(letter + "…")
    headers = 3 * len(status.message.encode()) + 4 * len(status.SerializeToString()) / 3
    assert headers < CLIENT_HEADER_BYTES
