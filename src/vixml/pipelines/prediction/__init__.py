"""New queries to labels with scores."""

from vixml.pipelines.prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
