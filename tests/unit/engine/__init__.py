"""The engine's parts, on a model made of arithmetic."""
