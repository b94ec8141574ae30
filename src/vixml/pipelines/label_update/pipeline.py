"""The `label_update` pipeline of one variant, without a namespace.

predictor, files of labels --> update_labels --> updated_predictor, label_update_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.label_update.nodes import update_labels


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the pipeline.

    Args:
        images: Makes no difference: the predictor knows what it looks at.
    """
    del images
    return pipeline(
        [
            node(
                update_labels,
                inputs=["params:label_update", "predictor"],
                outputs=["updated_predictor", "label_update_report"],
                name="update_labels",
            )
        ]
    )
