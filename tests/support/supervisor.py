"""A parent that starts its daemon again, as systemd does: `python -m tests.support.supervisor PID_FILE MODULE ...`.

It runs `python -m MODULE ... --exit-with-parent` for as long as it lives, however often that ends. The daemon's process
id is in PID_FILE.
"""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Start, wait, start again."""
    pid_file, command = Path(sys.argv[1]), [sys.executable, "-m", *sys.argv[2:], "--exit-with-parent"]
    while True:
        # Our end of the pipe is closed when we are killed, and by that the daemon knows.
        with subprocess.Popen(command, stdin=subprocess.PIPE) as daemon:
            fresh = pid_file.with_suffix(".new")
            fresh.write_text(str(daemon.pid))
            fresh.replace(pid_file)
            daemon.wait()


if __name__ == "__main__":
    main()
