"""From image files to frozen vectors: safe decoding and fetching, the vision model, the image bank."""
