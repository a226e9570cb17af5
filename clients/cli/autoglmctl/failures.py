"""From an exception to one clear line on stderr and an exit code; nobody sees a traceback for a wrong option."""

import contextlib
import errno
import json
import sys
from collections.abc import Iterator, Mapping

import typer

from autoglmctl import exit_codes
from autoglmctl.terminal import fitted, forget, write_to_stderr

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)
_ALL_ERRORS = {"openglm": "OpenGLMError", "autoglmd.errors.base": "AutoglmError"}
_REQUEST_ERRORS = {"openglm": "RequestError", "autoglmd.errors.request": "RequestError"}


class CommandError(Exception):
    """What this command itself finds wrong: a sentence and an exit code."""

    def __init__(self, message: str, exit_code: int = exit_codes.ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


@contextlib.contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """Report what the block raises on purpose, and exit; a bug passes through."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    except BrokenPipeError:
        forget(sys.stdout)
        raise typer.Exit(exit_codes.PIPE_CLOSED) from None
    except _known_errors() as error:
        _say(error, as_json=as_json)
        raise typer.Exit(exit_code_of(error)) from None
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        forget(sys.stdout)
        _say(CommandError(f"Standard output cannot be written: {error.strerror}."), as_json=as_json)
        raise typer.Exit(exit_codes.ERROR) from None


def _say(error: Exception, *, as_json: bool) -> None:
    said = render(error, as_json=as_json)
    write_to_stderr((said if as_json else fitted(said, sys.stderr)) + "\n")


def render(error: Exception, *, as_json: bool) -> str:
    """The error as one line of text, with its remedy on the next; or as a JSON object."""
    message, remedy = str(getattr(error, "message", error)), str(getattr(error, "remedy", ""))
    if not as_json:
        return "\n".join(filter(None, (f"Error: {message}", remedy)))
    body = {
        "code": getattr(error, "code", "ERROR"),
        "message": message,
        "remedy": remedy,
        "retry_after_seconds": getattr(error, "retry_after", None),
        "exit_code": exit_code_of(error),
    }
    return json.dumps({"error": body}, ensure_ascii=False)


def exit_code_of(error: Exception) -> int:
    """See `exit_codes`."""
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, ConnectionError | PermissionError):
        return exit_codes.NOT_REACHABLE
    if getattr(error, "retryable", False):
        return exit_codes.RETRY_LATER
    return exit_codes.USAGE if isinstance(error, _loaded(_REQUEST_ERRORS)) else exit_codes.ERROR


def _known_errors() -> tuple[type[Exception], ...]:
    """The errors raised on purpose."""
    return (CommandError, *_loaded(_ALL_ERRORS))


def _loaded(classes: Mapping[str, str]) -> tuple[type[Exception], ...]:
    """Classes by their modules. These are looked up, not imported: what was not loaded cannot raise."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in classes.items())
    return tuple(each for each in found if each is not None)
