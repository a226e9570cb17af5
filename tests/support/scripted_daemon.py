"""A scripted daemon as a process: `python -m tests.support.scripted_daemon --config FILE [HOW]`.

It answers every Generate with the request's model and its own pid, and leaves at the end of its standard input, as
`autoglmd serve --exit-with-parent` does.

    HOW     "serve" (the default); "fail": a line to stderr and exit code 3; "silent": never serves
"""

import argparse
import os
import select
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.scripted_server import ScriptedServer, answer

COMMAND = (sys.executable, "-m", "tests.support.scripted_daemon")
LIMIT_SECONDS = 20.0


def ends(pid: int) -> bool:
    """Whether a process is gone within the limit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], LIMIT_SECONDS)[0])
    finally:
        os.close(descriptor)


class Echo(ScriptedServer):
    """Says what it was asked."""

    def Generate(self, request: Any, context: Any) -> Iterator[Any]:
        """Answer with the model's name and our pid."""
        self.play(answer(f"model={request.model!r}", f" pid={os.getpid()}"))
        return super().Generate(request, context)


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how", nargs="?", default="serve")
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args()
    if options.how == "fail":
        sys.stderr.write("MODEL_MISSING: there is no model\n")
        return 3
    if options.how == "silent":
        sys.stdin.read()
        return 0
    config = tomllib.loads(options.config.read_text())
    with Echo(Path(config["server"]["socket"])):
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
