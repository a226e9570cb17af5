"""The key that conversations are encrypted with: from systemd, or from a file."""

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from autoglmd.errors.base import ConfigError
from autoglmd.host.files import sync_directory
from autoglmd.sessions.seal import KEY_BYTES, Plain, Seal

CREDENTIAL = "autoglmd.session-key"
_HEX = re.compile(rb"[0-9A-Fa-f]{64}\n?")
_BASE64 = re.compile(rb"[0-9A-Za-z+/]{43}=\n?")
_MOST_BYTES = 4096
# 32 random bytes have fewer different ones less than once in 10^24 keys.
_FEWEST_DIFFERENT = 12
_MAKE = "Make one with `autoglmd make-session-key FILE`."


def configured_seal(key_file: Path | None, environ: Mapping[str, str]) -> Seal:
    """The seal of the key that is configured, read once; none encrypts nothing.

    Args:
        key_file: `sessions.key_file`.
        environ: where systemd says in which folder it has put the credentials.

    Raises:
        ConfigError: there is a key, and it cannot be used; or there are two.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder, CREDENTIAL) if folder else None
    if credential is None or not os.path.lexists(credential):
        return Plain() if key_file is None else seal_of_file(key_file)
    if key_file is not None:
        raise ConfigError(f"There are two keys: sessions.key_file, and systemd's credential {CREDENTIAL}. Remove one.")
    # Who may read it is systemd's matter. With an access list for the service's user it looks like 0440.
    return _seal_of(_read(credential, is_private=False), str(credential))


def seal_of_file(path: Path) -> Seal:
    """The seal of the key in a file. Raises ConfigError."""
    return _seal_of(_read(path, is_private=True), str(path))


def make_key_file(path: Path) -> None:
    """Put a new random key into a new file that its owner alone can read.

    Raises:
        ConfigError: there is such a file, or it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_key(descriptor)
            sync_directory(path.absolute().parent)
        except OSError:
            # Half of a key is none, and would be in the way of the next try.
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made: {error.strerror}. A key that is there is not replaced.") from error


def _write_key(descriptor: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES).hex().encode() + b"\n")
        file.flush()
        os.fsync(descriptor)


def _seal_of(content: bytes, where: str) -> Seal:
    key = _decoded(content)
    if key is None:
        raise ConfigError(f"{where} holds no key: 32 bytes, or 64 hexadecimal digits, or 44 of base64. {_MAKE}")
    if len(set(key)) < _FEWEST_DIFFERENT:
        raise ConfigError(f"{where} holds a key that nobody drew at random. {_MAKE}")
    # Imported where it is needed: who has no key does not load OpenSSL a second time.
    from autoglmd.sessions.sealed import Sealed

    return Sealed(key)


def _decoded(content: bytes) -> bytes | None:
    if _HEX.fullmatch(content):
        return bytes.fromhex(content.decode())
    if _BASE64.fullmatch(content):
        try:
            return base64.b64decode(content, validate=False)
        except binascii.Error:
            return None
    # 32 characters that can be typed are a password, or half of a key.
    is_key = len(content) == KEY_BYTES and not content.isascii()
    return content if is_key else None


def _read(path: Path, *, is_private: bool) -> bytes:
    try:
        # Not to wait for a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check(path, os.fstat(descriptor), is_private=is_private)
            return os.read(descriptor, _MOST_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{path}: the key of the conversations cannot be read: {error.strerror}.") from error


def _check(path: Path, facts: os.stat_result, *, is_private: bool) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"{path}: the key of the conversations is in a file, and this is none.")
    if is_private and facts.st_mode & 0o077:
        mode = stat.S_IMODE(facts.st_mode)
        raise ConfigError(f"{path}: others than its owner may use this key (mode 0o{mode:o}). Run `chmod 600 {path}`.")
    # Root may read anybody's: who checks a configuration or changes a key as root has the daemon's before him.
    if is_private and os.geteuid() != 0 and facts.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path}: belongs to another user than the daemon's and root. Run `chown` on it.")
