"""One thread that batches sequences, step by step."""
