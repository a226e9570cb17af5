"""What options make of what was given."""

import pytest

from autoglmctl import exit_codes
from autoglmctl.failures import CommandError
from autoglmctl.options import SessionOption


def test_an_empty_session_name_is_refused() -> None:
    """A script whose variable is empty would else keep nothing, and not know."""
    with pytest.raises(CommandError, match="--session is empty") as caught:
        SessionOption("").given()
    assert caught.value.exit_code == exit_codes.USAGE
    assert SessionOption(None).given() == {}
    assert SessionOption("home").given() == {"session_id": "home"}
