"""Demo data: a product catalogue as raw files."""

from vixml.pipelines.fabrication.pipeline import create_pipeline

__all__ = ["create_pipeline"]
