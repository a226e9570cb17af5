"""The GPU's name, as the driver tells it."""

import ctypes
from typing import Any

import pytest

from autoglmd.host.gpu import gpu_name


class Driver:
    """CUDA's driver with one device, whose calls fail with a status."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def cuInit(self, flags: int) -> int:  # noqa: N802 - its name
        """Begin."""
        assert flags == 0
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802 - its name
        """A device's handle."""
        assert ordinal == 0
        device._obj.value = 7
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802 - its name
        """A device's name."""
        assert device.value == 7
        assert size == len(name)
        name.value = b"Some GPU"
        return self.status


def test_the_first_device_is_named() -> None:
    """It is the one that models run on."""
    assert gpu_name(lambda _: Driver()) == "Some GPU"


@pytest.mark.parametrize("driver", [Driver(100), object()])
def test_a_driver_that_does_not_tell_is_no_error(driver: object) -> None:
    """One that fails, and one that lacks the call."""
    assert gpu_name(lambda _: driver) == ""


def test_no_driver_is_no_error() -> None:
    """As on a box without a GPU."""

    def missing(name: str) -> object:
        raise OSError(name)

    assert gpu_name(missing) == ""
