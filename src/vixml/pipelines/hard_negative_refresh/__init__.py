"""Between the training stages: exact re-embedding, clusters, mined hard negatives."""

from vixml.pipelines.hard_negative_refresh.pipeline import create_pipeline

__all__ = ["create_pipeline"]
