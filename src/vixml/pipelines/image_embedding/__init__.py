"""Images to frozen vectors, one per unique image."""

from vixml.pipelines.image_embedding.pipeline import create_pipeline

__all__ = ["create_pipeline"]
