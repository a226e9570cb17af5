"""Whose sessions a caller may use: who it is, by the way it came."""

import grpc

from autoglmd.errors.request import NotSupportedError

SOCKET = "socket"
LOOPBACK = "loopback"


def tenant_of(context: grpc.aio.ServicerContext) -> str:
    """The name in the client's certificate; without one, the way it came.

    Who may open the socket may use the daemon, and shares its sessions with whoever else may: gRPC does not tell one
    user of a socket from another. Plain TCP comes from this box alone, and from anybody on it, so it has its own.

    Raises:
        NotSupportedError: the certificate has no name, so nobody could be told from anybody.
    """
    facts = context.auth_context()
    if "x509_pem_cert" in facts:
        return f"certificate:{_name(facts)}"
    return SOCKET if context.peer().startswith("unix:") else LOOPBACK


def _name(facts: dict[str, list[bytes]]) -> str:
    names = [*facts.get("x509_common_name", ()), *facts.get("x509_subject_alternative_name", ())]
    for name in filter(None, names):
        try:
            return str(name, "utf-8")
        except UnicodeDecodeError:
            continue
    raise NotSupportedError("session_id: the client's certificate has neither a common name nor an alternative one.")
