"""What a run prints: one line for each stage with what it made and where, and at the end what to look at next."""
