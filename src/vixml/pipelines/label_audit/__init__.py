"""Training pairs that are probably missing or wrong."""

from vixml.pipelines.label_audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
