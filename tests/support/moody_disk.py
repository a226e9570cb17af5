"""A disk that fails now and then, as a seed says."""

import errno
import os
import random
import threading

from tests.support.faulty_disk import FailingDisk

FAULTS = (errno.EIO, errno.ENOSPC, errno.EROFS)


class MoodyDisk(FailingDisk):
    """Each primitive fails with a probability, reading as well."""

    def __init__(self, seed: int, probability: float) -> None:
        self.probability = probability
        self.faults = 0
        self._random = random.Random(seed)  # noqa: S311 - the same faults each time, and no secret
        self._lock = threading.Lock()

    def _read(self, descriptor: int, size: int, at: int) -> bytes:
        if self._fails():
            self._raise()
        return super()._read(descriptor, size, at)

    def _fails(self) -> bool:
        with self._lock:
            failing = self._random.random() < self.probability
            self.faults += failing
            return failing

    def _raise(self) -> None:
        with self._lock:
            fault = self._random.choice(FAULTS)
        raise OSError(fault, os.strerror(fault))
