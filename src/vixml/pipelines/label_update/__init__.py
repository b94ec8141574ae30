"""New, changed and removed labels of a trained model."""

from vixml.pipelines.label_update.pipeline import create_pipeline

__all__ = ["create_pipeline"]
