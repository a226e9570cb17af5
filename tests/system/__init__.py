"""The whole daemon, as a process."""
