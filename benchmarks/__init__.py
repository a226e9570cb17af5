"""Measures autoglmd against its peers and itself: `python -m benchmarks`; docs/benchmarks holds what it found."""
