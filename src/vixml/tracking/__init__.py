"""MLflow as a mirror: one run a variant. Files on disk are the truth, and a dead tracking server stops nothing."""
