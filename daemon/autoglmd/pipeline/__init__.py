"""From an admitted request to a stream of text."""
