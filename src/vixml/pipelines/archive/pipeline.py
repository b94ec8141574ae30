"""The `archive` stage of one variant, without a namespace.

metrics, predictions, curve, refreshes --> archive_run --> runs (a folder of all runs, the newest added)
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.archive.nodes import archive_run


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank; of no concern here.
    """
    inputs = [
        "params:variant",
        "params:evaluation",
        "params:seed",
        "params:run_name",
        "metrics",
        "predictions",
        "curve",
        "refreshes",
        "items_test",
        "items_label",
        "relevance_train",
        "relevance_test",
        "filter_test",
        "work",
    ]
    return pipeline([node(archive_run, inputs=inputs, outputs="runs", name="archive_run")])
