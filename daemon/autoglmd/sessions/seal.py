"""What keeps conversations from being read by whoever has the disk: nothing, or a key.

Whatever keeps something in the folder of the sessions does it through one `Seal`, so that nothing is kept in the clear
beside what is encrypted; only a session that comes or goes as a file lies there in the clear for as long, nameless.
`Plain` is the one without a key; `sessions/sealed.py` has the other.
"""

import hashlib
from typing import Protocol

from autoglmd.messages.sessions import SessionKey

KEY_BYTES = 32


class Seal(Protocol):
    """Safe from any thread. A context is what sealed bytes are of and where they lie: elsewhere they do not open."""

    @property
    def hides(self) -> bool:
        """Whether it encrypts."""

    @property
    def overhead(self) -> int:
        """By how many bytes `seal` lengthens what it is given."""

    def seal(self, data: bytes | memoryview, context: bytes) -> bytes:
        """Bytes to be written. Sealed twice, the same bytes look like others."""

    def open(self, data: bytes, context: bytes) -> bytes | None:
        """What was sealed in that context; `None` if it is damaged, of another context or of another key."""

    def name(self, key: SessionKey) -> str:
        """What a session's file is called: 64 hexadecimal digits."""

    def blind(self, text: str) -> str:
        """A text that is looked up and never read back, such as a tenant's name in a column: always the same."""


class Plain:
    """Encrypts nothing."""

    hides = False
    overhead = 0

    def seal(self, data: bytes | memoryview, context: bytes) -> bytes:
        """The same bytes."""
        del context
        return bytes(data)

    def open(self, data: bytes, context: bytes) -> bytes | None:
        """The same bytes."""
        del context
        return data

    def name(self, key: SessionKey) -> str:
        """A digest. Who knows tenant and session can tell it."""
        return hashlib.sha256(one_text(key)).hexdigest()

    def blind(self, text: str) -> str:
        """The same text."""
        return text


def one_text(key: SessionKey) -> bytes:
    """Tenant and session as one text. With the length in front, no two pairs are the same."""
    tenant = key.tenant.encode()
    return b"%d:%b%b" % (len(tenant), tenant, key.session_id.encode())
