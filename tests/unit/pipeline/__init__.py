"""The pipeline's parts, each alone."""
