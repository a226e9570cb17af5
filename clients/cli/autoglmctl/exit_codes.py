"""The exit codes. Scripts rely on them: a number never changes its meaning."""

OK = 0
ERROR = 1
USAGE = 2
"""Also a request that the daemon refuses as it stands: out of range, for an unknown model, with too long a prompt."""
NOT_REACHABLE = 3
"""No daemon answers, or its socket may not be opened; or the connection broke for good."""
RETRY_LATER = 4
"""The daemon refused for now: its line is full, a model is loading, or it is stopping."""
INTERRUPTED = 130
"""Ctrl-C: 128 and the signal's number, as shells count."""
PIPE_CLOSED = 141
"""The reader of standard output went away; said by no message."""
