"""The `ablation` pipeline: table 5 of the ViXML paper, base method x {text, text + image}.

encoder_text_ngame   (a variant, end to end) --> encoder_text_ngame.runs   --+
encoder_text_dexa, ..., encoder_vision_infonce --> ...                       +--> ablation.comparison_table, report, ...
dataset, image bank, raw --> baselines --------------------------------------+

Each objective is a variant of its own, in a namespace of its own: none overwrites another, and each is one MLflow run.
The comparison is the same as that of the four variants, in the namespace `ablation`.
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, pipeline

from vixml.configuration.compose import ABLATION
from vixml.pipelines import variant
from vixml.pipelines.comparison.pipeline import template

NAMESPACE = "ablation"


def create_pipeline() -> Pipeline:
    """Return the pipeline, from the ingested data on."""
    compare = template(ABLATION)
    variants = sum((variant.create_pipeline(name) for name in ABLATION), Pipeline([]))
    return variants + pipeline(
        compare,
        namespace=NAMESPACE,
        inputs={name for name in compare.inputs() if not name.startswith("params:")},
        outputs={"baseline_metrics"},
        parameters={name for name in compare.inputs() if name.startswith("params:")},
        tags=[NAMESPACE],
    )
