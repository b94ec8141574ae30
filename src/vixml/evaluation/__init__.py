"""From published embeddings to rankings, baselines, slices and significance."""
