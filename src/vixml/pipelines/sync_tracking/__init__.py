"""MLflow catches up with what lies on disk."""

from vixml.pipelines.sync_tracking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
