"""The engines under measurement, one module each; each is imported only in its own process."""
