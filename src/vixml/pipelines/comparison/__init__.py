"""Baselines, and all variants side by side."""

from vixml.pipelines.comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
