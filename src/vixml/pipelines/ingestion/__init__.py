"""Raw files to clean items, relevance matrices and a data report."""

from vixml.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
