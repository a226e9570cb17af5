"""What the daemon asks of the box: files, systemd, sockets, clock, facts."""
