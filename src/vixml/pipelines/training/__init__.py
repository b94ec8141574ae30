"""Tokens, and both training stages of a variant."""

from vixml.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
