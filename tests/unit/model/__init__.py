"""The model room's parts, each alone."""
