"""Frozen, typed settings with ranges; no logic beyond what makes a value valid."""
