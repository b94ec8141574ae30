"""Embeddings, label index, predictions and metrics of a variant."""

from vixml.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
