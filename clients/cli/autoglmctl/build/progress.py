"""How the steps of a build tell how far they are."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told the name of the step and how much of it is done, 0 to 1."""
