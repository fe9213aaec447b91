"""Measure what keeping history costs, beside the same work without it: `python -m benchmarks`."""
