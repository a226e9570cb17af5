"""What is sealed opens with its key, in its context, and not otherwise."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions import sealed as sealed_module
from autoglmd.sessions.seal import Seal
from autoglmd.sessions.sealed import Sealed
from tests.support.seals import KEY_TEXT, OTHER, PLAIN, SEAL_NAMES, SEALED, SEALS

TEXT = "你好, turn on the light".encode()


@pytest.mark.parametrize("seal", SEALS, ids=SEAL_NAMES)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_what_was_sealed_opens(seal: Seal, size: int) -> None:
    """And is as much longer as the seal says."""
    data = os.urandom(size)
    closed = seal.seal(data, b"here")
    assert len(closed) == size + seal.overhead
    assert seal.open(closed, b"here") == data


def test_a_large_one_is_sealed_in_parts_and_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the parts were does not show."""
    data = os.urandom(1000)
    whole = SEALED.seal(data, b"here")
    monkeypatch.setattr(sealed_module, "_PART_BYTES", 7)
    assert SEALED.open(whole, b"here") == data
    parts = SEALED.seal(data, b"here")
    monkeypatch.undo()
    assert SEALED.open(parts, b"here") == data


def test_another_key_another_context_and_a_flipped_bit_open_nothing() -> None:
    """At every byte: salt, nonce, ciphertext and tag."""
    closed = SEALED.seal(TEXT, b"here")
    assert OTHER.open(closed, b"here") is None
    assert SEALED.open(closed, b"there") is None
    for at in range(len(closed)):
        assert SEALED.open(closed[:at] + bytes([closed[at] ^ (1 << at % 8)]) + closed[at + 1 :], b"here") is None
        assert SEALED.open(closed[:at], b"here") is None


def test_the_same_bytes_sealed_twice_share_nothing() -> None:
    """Nobody can tell that somebody said the same again."""
    one, other = SEALED.seal(TEXT, b"here"), SEALED.seal(TEXT, b"here")
    assert one[:16] != other[:16]
    assert one[16:28] != other[16:28]
    assert one[28:] != other[28:]


def test_the_form_is_the_one_that_is_written_down() -> None:
    """Made out with the library's own parts, so that another program can read it."""
    master = HKDF(SHA256(), 32, salt=None, info=b"autoglmd sessions 1 sealing").derive(bytes.fromhex(KEY_TEXT))
    closed = SEALED.seal(TEXT, b"here")
    key = HKDFExpand(SHA256(), 32, info=closed[:16]).derive(master)
    assert AESGCM(key).decrypt(closed[16:28], closed[28:], b"here") == TEXT


def test_names_are_told_by_the_key_alone() -> None:
    """A digest without a key can be guessed: there are few tenants, and people call their sessions alike."""
    key = SessionKey("local", "home")
    names = [seal.name(key) for seal in (PLAIN, SEALED, OTHER)]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {64}
    assert SEALED.name(key) == Sealed(bytes.fromhex(KEY_TEXT)).name(key)
    assert SEALED.name(SessionKey("a", "b:c")) != SEALED.name(SessionKey("a:b", "c"))


def test_a_blinded_text_is_the_same_each_time_and_says_nothing() -> None:
    """It can be looked up. Without a key it is the text."""
    assert PLAIN.blind("local") == "local"
    assert SEALED.blind("local") == SEALED.blind("local") != OTHER.blind("local")
    assert SEALED.blind("local") not in (SEALED.blind("loca"), SEALED.name(SessionKey("", "local")))


def test_a_key_of_another_length_is_refused() -> None:
    """Nothing is filled up."""
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Sealed(bytes(16))
