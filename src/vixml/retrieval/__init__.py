"""Exact and approximate maximum inner product search, and rankings that blend several searches."""
