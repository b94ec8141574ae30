"""Kinds of label index side by side: recall, speed, size."""

from vixml.pipelines.index_report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
