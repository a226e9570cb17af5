"""Keys for tests, one for each way to keep conversations."""

from autoglmd.sessions.seal import Plain, Seal
from autoglmd.sessions.sealed import Sealed

KEY_TEXT = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
SEALED = Sealed(bytes.fromhex(KEY_TEXT))
OTHER = Sealed(bytes(reversed(range(32))))
PLAIN = Plain()
SEALS: tuple[Seal, ...] = (PLAIN, SEALED)
SEAL_NAMES = ("plain", "sealed")
