"""The stages of a variant in several processes: the description of a job, and the process that runs it."""
