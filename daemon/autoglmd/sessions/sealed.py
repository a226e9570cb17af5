"""AES-256-GCM over everything that is written of conversations. Imported only where a key is configured."""

import hmac
import os
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.seal import KEY_BYTES, one_text

_SALT_BYTES = 16
_NONCE_BYTES = 12
_HEAD_BYTES = _SALT_BYTES + _NONCE_BYTES
_TAG_BYTES = 16
# GCM takes 64 GiB at once, and a call to the library less than 2 GiB. Small things are faster in one call.
_PART_BYTES = 1 << 20


class Sealed:
    """Implements `Seal`: salt (16 bytes) | nonce (12) | ciphertext | tag (16).

    Each sealing has a key of its own, HKDF-Expand (RFC 5869) of ours with a random salt, and a random nonce. So there
    is no counter that a crash, a copied folder or a restored backup could turn back, and no number of records after
    which the key is used up: that two of them have key and nonce alike is to be expected after some 2^112.
    """

    hides = True
    overhead = _HEAD_BYTES + _TAG_BYTES

    def __init__(self, key: bytes) -> None:
        """`key`: 32 random bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._sealing, self._naming, self._blinding = (_derived(key, use) for use in ("sealing", "names", "lookups"))

    def seal(self, data: bytes | memoryview, context: bytes) -> bytes:
        """See `Seal`."""
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        key = self._key_of(salt)
        if len(data) <= _PART_BYTES:
            return salt + nonce + AESGCM(key).encrypt(nonce, data, context)
        work = Cipher(AES(key), GCM(nonce)).encryptor()
        work.authenticate_additional_data(context)
        parts = [work.update(part) for part in _parts(memoryview(data))]
        work.finalize()
        return b"".join((salt, nonce, *parts, work.tag))

    def open(self, data: bytes, context: bytes) -> bytes | None:
        """See `Seal`."""
        if len(data) < self.overhead:
            return None
        key, nonce = self._key_of(data[:_SALT_BYTES]), data[_SALT_BYTES:_HEAD_BYTES]
        try:
            if len(data) <= self.overhead + _PART_BYTES:
                return AESGCM(key).decrypt(nonce, data[_HEAD_BYTES:], context)
            work = Cipher(AES(key), GCM(nonce, data[-_TAG_BYTES:])).decryptor()
            work.authenticate_additional_data(context)
            parts = [work.update(part) for part in _parts(memoryview(data)[_HEAD_BYTES:-_TAG_BYTES])]
            work.finalize()
        except InvalidTag:
            return None
        return b"".join(parts)

    def name(self, key: SessionKey) -> str:
        """See `Seal`. Without the key, nobody can tell whether a name is there."""
        return hmac.digest(self._naming, one_text(key), "sha256").hex()

    def blind(self, text: str) -> str:
        """See `Seal`."""
        return hmac.digest(self._blinding, text.encode(), "sha256").hex()

    def _key_of(self, salt: bytes) -> bytes:
        # HKDF-Expand to one block, in which the salt is the info.
        return hmac.digest(self._sealing, salt + b"\x01", "sha256")


def _derived(key: bytes, use: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"autoglmd sessions 1 {use}".encode()).derive(key)


def _parts(data: memoryview) -> Iterator[memoryview]:
    return (data[at : at + _PART_BYTES] for at in range(0, len(data), _PART_BYTES))
