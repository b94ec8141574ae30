"""Parameters of search over label embeddings, and of rankings that blend several searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vixml.params.base import Params
from vixml.params.ranking import CalibrationParams, EvidenceParams

IndexKind = Literal["exact", "faiss-flat", "faiss-hnsw", "faiss-ivf", "faiss-ivfpq"]


class AugmentationParams(Params):
    """Rankings that also use the nearest training queries."""

    mode: Literal["none", "split", "joint", "evidence"] = "none"
    """`none`: label prototypes alone; `split`: two searches under one softmax; `joint`: one search space; `evidence`:
    all evidence, with weights fitted on validation queries (see `evidence`)."""
    depth: int = Field(100, ge=1)
    """Results of each search; the joint search keeps 2 * depth."""
    temperature: float = Field(0.05, gt=0)
    """Softmax temperature over similarities."""
    query_weight: float = Field(0.1, ge=0, le=1)
    """Weight of the training queries in `split` (published: 0.1) and `joint` (published: 0.5); the labels have the
    remaining weight."""
    evidence: EvidenceParams = EvidenceParams()
    """Parts of `evidence`, and how their weights are fitted on the validation split."""

    @model_validator(mode="before")
    @classmethod
    def _no_former_settings(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or ("fusion" not in values and values.get("mode") != "fused"):
            return values
        if values.get("mode") == "fused":
            raise ValueError(
                "the ranking `fused`, with weights in `fusion`, was removed: `mode: evidence` includes it and more, "
                "and fits its weights itself"
            )
        return {name: value for name, value in values.items() if name != "fusion"}  # of a model of an earlier version


class RetrievalParams(Params):
    """Which index searches the labels, how deep, and in what blocks."""

    kind: IndexKind = "exact"
    """`exact` (blocked matrix products), `faiss-flat` (exact), or the approximate `faiss-hnsw` (graph), `faiss-ivf`
    (inverted lists), `faiss-ivfpq` (inverted lists of compressed vectors)."""
    dim: int | None = Field(None, ge=1)
    """Width at which queries and labels are compared: embeddings are truncated to this many dimensions and rescaled
    (see `model.matryoshka`); `null` for all."""
    query_block: int = Field(1024, ge=1)
    """Queries scored at the same time; memory grows with query_block * label_block * 4 bytes."""
    label_block: int = Field(16_384, ge=1)
    """Labels scored at the same time by the exact search."""
    hnsw_neighbours: int = Field(32, ge=2, le=256)
    """Links of each node of the HNSW graph (M), 2 to 256."""
    hnsw_build_depth: int = Field(200, ge=1)
    """Candidates kept while the graph is built (efConstruction)."""
    hnsw_search_depth: int = Field(256, ge=1)
    """Candidates kept while searching (efSearch); raised to the number of requested labels if that is larger."""
    ivf_lists: int = Field(0, ge=0)
    """Inverted lists of the IVF indexes; 0 chooses 4 * sqrt(number of labels)."""
    ivf_probes: int = Field(32, ge=1)
    """Inverted lists visited for each query."""
    pq_subvectors: int = Field(0, ge=0)
    """Bytes per vector of IVF-PQ; must divide the embedding width; 0 chooses about a quarter of the width."""
    train_queries: bool = True
    """Store the embeddings of the training queries (float16, one more pass over them) for blended rankings and to
    explain predictions by the nearest training queries."""
    imageless_prior: float = Field(0.0, ge=0)
    """For vision variants: weight of log(1 + training queries of a label) in the scores of a query without images; it
    favours frequent labels when a query has no image. The best 100 labels are scored again."""
    augmentation: AugmentationParams = AugmentationParams()
    """Rankings that blend several searches."""
    calibration: CalibrationParams | None = CalibrationParams()
    """How the final scores become probabilities, on the validation split; null leaves probabilities out."""


class IndexReportParams(Params):
    """What the pipeline `index_report` compares."""

    num_queries: int = Field(1000, ge=1)
    """Number of test queries to search, from the beginning."""
    ks: tuple[int, ...] = (1, 10, 100)
    """Depths at which the recall against exact search is measured."""
    candidates: tuple[RetrievalParams, ...] = (
        RetrievalParams(kind="exact"),
        RetrievalParams(kind="faiss-flat"),
        RetrievalParams(kind="faiss-hnsw", hnsw_search_depth=32),
        RetrievalParams(kind="faiss-hnsw", hnsw_search_depth=256),
        RetrievalParams(kind="faiss-ivf", ivf_probes=8),
        RetrievalParams(kind="faiss-ivf", ivf_probes=32),
        RetrievalParams(kind="faiss-ivfpq", ivf_probes=32),
    )
    """Indexes that are built and measured; each a group of `retrieval` settings."""

    @field_validator("ks")
    @classmethod
    def _sorted_depths(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if not ks or min(ks) < 1:
            raise ValueError("ks needs at least one depth, each 1 or more")
        return tuple(sorted(set(ks)))


class LabelUpdateParams(Params):
    """What the pipeline `label_update` changes in a trained model's labels."""

    add: str | None = None
    """File of new labels (JSON lines, CSV or Parquet with columns id, text and, optionally, images); the ids must be
    new. This path and the others in this section are relative to the project's folder."""
    update: str | None = None
    """File of existing labels with new text and images."""
    remove: str | None = None
    """File with the ids of labels to remove."""
    image_root: str | None = None
    """Folder that image paths of the files are relative to; null is the folder of the first of these files."""
    free: Literal["nearest", "mean", "zero"] = "mean"
    """Free vector of a new label: the nearest trained label's, a softmax mean of the nearest ones', or zero."""
    centroid: Literal["nearest", "mean", "zero"] = "mean"
    """Centroid of a new label, with the same choices; `zero` is what training gives a label without training
    queries."""
    neighbours: int = Field(10, ge=1)
    """Number of trained labels in a mean."""
    temperature: float = Field(0.05, gt=0)
    """Softmax temperature of a mean's weights over similarities."""
