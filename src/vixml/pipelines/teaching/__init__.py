"""A teacher's soft labels of the training queries."""

from vixml.pipelines.teaching.pipeline import create_pipeline

__all__ = ["create_pipeline"]
