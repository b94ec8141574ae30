"""The pipeline `label_audit`.

dataset, image_bank, {variant}.hard_negatives (those that are there) --> audit_labels
audit_labels --> label_audit_table, label_audit_report
raw, dataset, label_audit_table, label_audit_report --> write_page --> label_audit_html
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines.label_audit.nodes import audit_labels, write_page
from vixml.pipelines.stage import OPTIONAL


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    mined = [f"{variant}.hard_negatives" for variant in VARIANTS]
    return pipeline(
        [
            node(
                audit_labels,
                inputs=["params:label_audit", "params:evaluation", "dataset", "image_bank", *mined],
                outputs=["label_audit_table", "label_audit_report"],
                name="audit_labels",
                tags=OPTIONAL,
            ),
            node(
                write_page,
                inputs=[
                    "params:label_audit",
                    "label_audit_table",
                    "label_audit_report",
                    "raw",
                    "dataset",
                    "params:dataset",
                ],
                outputs="label_audit_html",
                name="write_page",
            ),
        ]
    )
