"""Settings of everything before training: demo, ingestion, download, image bank."""
