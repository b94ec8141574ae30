"""Readers of a user's own tables, and the proposal of which column is what."""
