"""The entry point of `autoglmctl`."""

import os
import sys
from pathlib import Path

from autoglmctl.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command line and exit with its code."""
    # gRPC's own log would stand beside our one line about the same failure.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Its caller has closed it, as with 2>&-.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - to the end
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        from autoglmctl.app import build_app

        build_app()(prog_name="autoglmctl")
    except KeyboardInterrupt:
        # While still importing; a running command reports it itself.
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
