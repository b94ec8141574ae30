"""The stages of a variant in several processes: a job that describes one, and what a rank makes of it."""
