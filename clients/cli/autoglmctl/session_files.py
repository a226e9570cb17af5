"""autoglmctl session export and import: a conversation as a file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from autoglmctl import exit_codes
from autoglmctl.failures import CommandError
from autoglmctl.interruption import cancelled_by_ctrl_c
from autoglmctl.invocation import Invocation
from autoglmctl.options import SessionArgument
from autoglmctl.quantities import byte_count
from autoglmctl.session import show_change
from autoglmctl.terminal import Terminal, is_closed

if TYPE_CHECKING:
    from openglm import Client, SessionExport, SessionInfo

_SUFFIX = ".session"
# Below that it is there before anybody has read the bar.
_SHOWN_FROM_BYTES = 8 << 20

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
ToFile = Annotated[
    str | None,
    typer.Argument(help="Where to; NAME.session here without it, - is standard output.", metavar="FILE"),
]
FromFile = Annotated[str, typer.Argument(help="The file; - is standard input.", metavar="FILE")]
NewName = Annotated[str | None, typer.Argument(help="What to call the session; as the file without.", metavar="NAME")]


def export_session(
    invocation: Invocation, session_id: SessionArgument, file: ToFile = None, *, force: Force = False
) -> None:
    """Write a conversation to a file: text, tokens, keys and values, not encrypted.

    The file is for its owner's eyes, and there when it is whole. An answer that is being given in the session is waited
    for.
    """
    path = _path_for(session_id, file, force=force)
    with invocation.client() as client:
        if path is None:
            _write_out(client.export_session(session_id))
            return
        with _shown(invocation, client, session_id) as told:
            size = _saved(client.export_session(session_id), path, told)
    said = f"Session {session_id} is in {path}, {byte_count(size)}."
    invocation.show({"session_id": session_id, "file": str(path), "bytes": size}, lambda: (said,))


def import_session(invocation: Invocation, file: FromFile, session_id: NewName = None) -> None:
    """Begin a conversation with an exported one."""
    name = session_id or Path(file).name.removesuffix(_SUFFIX)
    if file == "-" and not session_id:
        raise CommandError("Standard input has no name. Say what to call the session.", exit_codes.USAGE)
    # gRPC would log with a traceback what our one line says.
    logging.getLogger("grpc").addHandler(logging.NullHandler())
    with invocation.client() as client, _opened(file) as source:
        info = _imported(client, name, source, file)
    show_change(invocation, info, f"Session {name} has")


def _path_for(session_id: str, file: str | None, *, force: bool) -> Path | None:
    """`None` for standard output. Raises CommandError for what cannot be written, or not without --force."""
    if file == "-":
        _check_stdout()
        return None
    path = Path(file if file is not None else _name_for(session_id))
    with _one_line(_unwritable(path)):
        is_there = path.is_file()
    if is_there and not force:
        raise CommandError(f"{path} is there already. Name another file, or replace it with --force.", exit_codes.USAGE)
    return path


def _name_for(session_id: str) -> str:
    if "/" in session_id or session_id.startswith((".", "-")):
        raise CommandError(f"Session {session_id!r} cannot give a file its name. Say which FILE.", exit_codes.USAGE)
    return session_id + _SUFFIX


def _check_stdout() -> None:
    if sys.stdout.isatty():
        raise CommandError("A session's file is not for a terminal. Redirect standard output.", exit_codes.USAGE)
    if is_closed(sys.stdout):
        raise CommandError("Standard output is closed. Say which FILE.", exit_codes.USAGE)


def _write_out(pieces: SessionExport) -> None:
    with cancelled_by_ctrl_c(pieces.cancel):
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _saved(pieces: SessionExport, path: Path, told: Callable[[int], Any]) -> int:
    with cancelled_by_ctrl_c(pieces.cancel), _one_line(_unwritable(path)):
        return pieces.save(path, told)


def _imported(client: Client, name: str, source: BinaryIO, file: str) -> SessionInfo:
    # The call itself is the library's to end; closing its client does.
    with cancelled_by_ctrl_c(client.close), _one_line(_unreadable(file)):
        return client.import_session(name, source)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """What has the file's bytes, without a buffer.

    gRPC's thread may wait in `read` when the call is over, for who writes into a pipe. A buffer has a lock, which it
    would hold meanwhile, and both closing the file and the interpreter's end would want it.
    """
    if file == "-":
        yield getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        return
    with _one_line(_unreadable(file)):
        source = Path(file).open("rb", buffering=0)  # noqa: SIM115 - closed below
    with source:
        yield source


@contextmanager
def _shown(invocation: Invocation, client: Client, session_id: str) -> Iterator[Callable[[int], Any]]:
    """What to tell how many bytes have come; shows them where it takes long and somebody looks."""
    terminal: Terminal = invocation.terminal
    looks = terminal.shows_progress and not invocation.json
    # What is kept as it was written is about what is sent.
    total = client.session(session_id).info.disk_bytes if looks else 0
    if total < _SHOWN_FROM_BYTES:
        yield lambda _: None
        return
    with terminal.progress() as progress:
        task = progress.add_task("exporting", total=total, note="")
        yield lambda done: progress.update(task, completed=done, note=byte_count(done))


@contextmanager
def _one_line(failed: str) -> Iterator[None]:
    """Make an OSError of the block one line: what failed, and why."""
    try:
        yield
    except OSError as error:
        if hasattr(error, "remedy"):
            # The library's errors may be an OSError, too: a connection's is.
            raise
        raise CommandError(f"{failed}: {error.strerror}.") from error


def _unwritable(path: Path) -> str:
    return f"{path} cannot be written"


def _unreadable(file: str) -> str:
    return "Standard input cannot be read" if file == "-" else f"{file} cannot be read"
