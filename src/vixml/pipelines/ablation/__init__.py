"""Every objective, with and without images, trained alike and compared."""

from vixml.pipelines.ablation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
