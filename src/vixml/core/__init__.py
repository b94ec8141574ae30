"""Foundations without a domain: errors, atomic directories, named random streams, progress."""
