"""The `evaluation` stage of one variant, without a namespace.

model, tokens --> embed --> embeddings --> index --> evaluate --> metrics, predictions
dataset, embeddings, index --> gather_evidence --> evidence --> evaluate
model, embeddings, index, evidence, dataset --> bundle --> predictor
metrics, predictions, curve, refreshes --> archive_run --> runs (a folder of all runs, the newest added)
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.evaluation.nodes import archive_run, bundle, embed, evaluate, gather_evidence, index
from vixml.pipelines.stage import with_images

_SETTINGS = ["params:variant", "params:evaluation"]
_RETRIEVAL = ["dataset", "model", "embeddings", "index", "evidence"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    results = ["metrics", "predictions", "curve", "refreshes"]
    return pipeline(
        [
            node(
                embed,
                inputs=with_images([*_SETTINGS, "dataset", "tokens", "model"], images=images),
                outputs="embeddings",
                name="embed",
            ),
            node(index, inputs=["params:variant", "embeddings"], outputs="index", name="index"),
            node(
                gather_evidence,
                inputs=with_images([*_SETTINGS, "dataset", "embeddings", "index"], images=images),
                outputs="evidence",
                name="gather_evidence",
            ),
            node(
                bundle,
                inputs=with_images(["params:variant", "params:dataset", *_RETRIEVAL], images=images),
                outputs="predictor",
                name="bundle",
            ),
            node(
                evaluate,
                inputs=with_images([*_SETTINGS, "params:dataset", *_RETRIEVAL], images=images),
                outputs=["metrics", "predictions"],
                name="evaluate",
            ),
            node(
                archive_run,
                inputs=[*_SETTINGS, "params:seed", "params:run_name", "dataset", *results],
                outputs="runs",
                name="archive_run",
            ),
        ]
    )
