"""The `sync_tracking` pipeline: after a dead or slow server.

{variant}.run_records, metrics --> sync --> {variant}.sync_report --> gather --> sync_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.configuration.compose import ALL_VARIANTS
from vixml.pipelines.stage import OPTIONAL
from vixml.pipelines.sync_tracking.nodes import gather_reports, sync_tracking


def create_pipeline() -> Pipeline:
    """Return the pipeline that delivers to MLflow what it lacks.

    No namespace: the nodes of a variant's namespace open a run of their own.
    """
    sync = [
        node(
            sync_tracking,
            inputs=[f"{name}.run_records", f"{name}.metrics"],
            outputs=f"{name}.sync_report",
            name=f"sync_{name}",
            tags=[OPTIONAL],
        )
        for name in ALL_VARIANTS
    ]
    reports = [f"{name}.sync_report" for name in ALL_VARIANTS]
    return pipeline([*sync, node(gather_reports, inputs=reports, outputs="sync_report", name="gather_sync_reports")])
