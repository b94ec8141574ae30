"""Bring MLflow up to date with the files on disk."""

from vixml.pipelines.sync_tracking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
