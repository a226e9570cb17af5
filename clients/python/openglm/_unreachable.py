"""Why a connection did not come about, or did not last, and what to do about it."""

from openglm._address import Address
from openglm._details import ErrorDetails
from openglm._errors import (
    NO_DETAILS,
    AccessDeniedError,
    ConnectionLostError,
    DaemonNotRunningError,
    OpenGLMError,
)

# gRPC has one code for all of these, and tells them apart in words only.
_ABOUT_TLS = ("certificate_verify", "hostname verification", "socket closed", "handshake")
_REASONS = {
    "no such file": "there is no such socket",
    "connection refused": "nobody listens there",
    "domain name not found": "that name is not known",
    "certificate_verify": "its certificate is not signed by the authority that we trust",
    "hostname verification": "its certificate is for another name",
    "socket closed": "it hung up, and may want TLS or a certificate",
}


def not_running(address: Address, reason: str) -> OpenGLMError:
    """The error for a connection that did not come about, with what to do about it."""
    words = reason.lower()
    if "permission denied" in words:
        remedy = "Join the socket's group, or ask the box's operator for access."
        return AccessDeniedError(f"The socket {address} may not be used by this user.", remedy=remedy)
    why = next((f": {meaning}" for phrase, meaning in _REASONS.items() if phrase in words), "")
    return DaemonNotRunningError(f"No daemon answers at {address}{why}.", remedy=_remedy(words))


def connection_lost(message: str, details: ErrorDetails = NO_DETAILS) -> ConnectionLostError:
    """The error for a connection that broke under a call, with what to do about it."""
    remedy = (
        "See whether the daemon runs (`autoglmctl status`) and what its log says (`journalctl -u autoglmd`), and ask "
        "again. In a session, `autoglmctl session resume NAME` tells what there is of the answer."
    )
    return ConnectionLostError(message, details, remedy=remedy)


def _remedy(words: str) -> str:
    if any(phrase in words for phrase in _ABOUT_TLS):
        return "See tls= (--tls-ca, --tls-cert, --tls-key, --tls-name), and the daemon's own settings."
    return (
        "Start one with `systemctl start autoglmd` or `autoglmd serve`, or name its place in AUTOGLMD_SOCKET or "
        "AUTOGLMD_ADDRESS."
    )
