"""Results of a variant's runs, kept for comparisons."""

from vixml.pipelines.archive.pipeline import create_pipeline

__all__ = ["create_pipeline"]
