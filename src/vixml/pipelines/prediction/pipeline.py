"""The pipeline `prediction`.

{variant}.predictor (the one that `prediction.model` names) --> predict --> prediction, prediction_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines.prediction.nodes import predict
from vixml.pipelines.stage import OPTIONAL


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    return pipeline(
        [
            node(
                predict,
                inputs=["params:prediction", *(f"{variant}.predictor" for variant in VARIANTS)],
                outputs=["prediction", "prediction_report"],
                name="predict",
                tags=OPTIONAL,
            )
        ]
    )
