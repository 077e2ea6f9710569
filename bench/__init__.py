"""Benchmarks against the limit of the machine and against peers."""
