"""Benchmarks with the competitors in the same group: ``pytest bench``."""
