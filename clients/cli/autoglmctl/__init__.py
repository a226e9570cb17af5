"""The command on the box."""
