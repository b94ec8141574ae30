"""A teacher's soft labels, from which a smaller or cheaper variant learns."""
