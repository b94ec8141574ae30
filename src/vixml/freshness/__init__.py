"""Freshness: which outputs still are what the present data and settings would make, and running only the others.

Every output gets a small ORIGIN document beside it, written after the output itself: the node that made it, the
settings that count, and a fingerprint of each input. `docs/explanation/freshness.md` says what counts.
"""
