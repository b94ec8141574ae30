"""URLs to local images."""

from vixml.pipelines.image_download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
