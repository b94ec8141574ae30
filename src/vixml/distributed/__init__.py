"""Several processes that share one piece of work: how they communicate, start and end."""
