"""A checksum over what is kept where nothing else would notice a flipped bit."""

from zlib_ng.zlib_ng import crc32

from autoglmd.sessions.seal import Seal

_SUM_BYTES = 4


class Summed:
    """Seals as a `Seal` does, and notices damage without a key as well: of a disk, and not of whoever means it."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._sum_bytes = 0 if seal.hides else _SUM_BYTES

    @property
    def overhead(self) -> int:
        """By how many bytes `seal` lengthens what it is given."""
        return self._seal.overhead + self._sum_bytes

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Bytes to be written."""
        return _sum_of(data, context)[: self._sum_bytes] + self._seal.seal(data, context)

    def open(self, data: bytes, context: bytes) -> bytes | None:
        """What was sealed in that context; `None` if it is damaged, or of another one."""
        opened = self._seal.open(data[self._sum_bytes :], context)
        if opened is None or data[: self._sum_bytes] != _sum_of(opened, context)[: self._sum_bytes]:
            return None
        return opened


def _sum_of(data: bytes, context: bytes) -> bytes:
    return crc32(data, crc32(context)).to_bytes(_SUM_BYTES, "little")
