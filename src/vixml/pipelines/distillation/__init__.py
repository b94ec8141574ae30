"""A variant that learns from a teacher's soft labels."""

from vixml.pipelines.distillation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
