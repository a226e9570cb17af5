"""What the daemon says of itself: metrics, log, health."""
