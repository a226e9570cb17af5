"""From one Hugging Face checkpoint to each engine's own format, so that all compute with the same weights."""
