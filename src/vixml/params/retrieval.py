"""Parameters of search over label embeddings, and of rankings that blend several searches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from vixml.params.base import Params
from vixml.params.ranking import EvidenceParams

IndexKind = Literal["exact", "faiss-flat", "faiss-hnsw", "faiss-ivf", "faiss-ivfpq"]


class FusionParams(Params):
    """Weights and sharpness of the three parts of a fused ranking; what a validation run chose can be set here."""

    prototype: float = Field(1.0, ge=0)
    """Weight of the similarity to the label prototypes."""
    text: float = Field(0.0, ge=0)
    """Weight of the similarity to the labels' own text and images; 0 leaves that search out."""
    retrieval: float = Field(0.5, ge=0)
    """Weight of the labels of the nearest training queries; 0 leaves that search out."""
    prototype_temperature: float | None = Field(None, gt=0)
    """Softmax temperature over the prototypes; `null` is `augmentation.temperature`."""
    text_temperature: float | None = Field(None, gt=0)
    """Softmax temperature over the labels' own text and images; likewise."""
    retrieval_temperature: float | None = Field(None, gt=0)
    """Softmax temperature over the nearest training queries; likewise."""
    neighbours: int | None = Field(None, ge=1)
    """Training queries that hand on their labels; `null` is `augmentation.depth`."""
    tune: bool = True
    """Choose `text`, `retrieval`, the temperatures and `neighbours` on the validation split, with `prototype` as it is;
    without one the values above are used."""
    grid: tuple[float, ...] = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    """Weights tried, each at least 0."""
    temperatures: tuple[float, ...] = (0.02, 0.05, 0.07, 0.1, 0.15, 0.2)
    """Temperatures tried for each part; none: they stay as they are."""
    neighbour_grid: tuple[int, ...] = (10, 20, 50, 100)
    """Numbers of neighbours tried; none: they stay as they are."""
    metrics: tuple[str, ...] = ("P@1", "P@5", "PSP@5", "R@10")
    """What the weights are tuned for: the mean of these relative to the plain ranking's; k must be in evaluation.ks."""

    @field_validator("grid")
    @classmethod
    def _some_weights(cls, grid: tuple[float, ...]) -> tuple[float, ...]:
        if not grid or min(grid) < 0:
            raise ValueError("grid needs at least one weight, each 0 or more")
        return grid

    @model_validator(mode="after")
    def _sensible_grids(self) -> FusionParams:
        if min(self.temperatures, default=1.0) <= 0 or min(self.neighbour_grid, default=1) < 1:
            raise ValueError("temperatures must be above 0 and neighbour_grid at least 1")
        if not max(self.prototype, self.text, self.retrieval) or (self.tune and not max(self.prototype, *self.grid)):
            raise ValueError("one of the weights prototype, text, retrieval (and grid, where tuned) must be above 0")
        return self


class AugmentationParams(Params):
    """Rankings that also ask which training queries are near."""

    mode: Literal["none", "split", "joint", "fused", "evidence"] = "none"
    """`none`: label prototypes alone; `split`: two searches under one softmax; `joint`: one search space; `fused`: a
    weighted sum of prototype, text and retrieval scores (see `fusion`); `evidence`: all evidence (see `evidence`)."""
    depth: int = Field(100, ge=1)
    """Results of each search; the joint search keeps 2 * depth."""
    temperature: float = Field(0.05, gt=0)
    """Softmax temperature over similarities."""
    query_weight: float = Field(0.1, ge=0, le=1)
    """Weight of the training queries in `split` (published: 0.1) and `joint` (published: 0.5); the labels weigh the
    rest."""
    fusion: FusionParams = FusionParams()
    """Weights of `fused`."""
    evidence: EvidenceParams = EvidenceParams()
    """Parts of `evidence`, and how their weights are fitted on the validation split."""

    def temperature_of(self, part: str) -> float:
        """Return the softmax temperature of a part of `fused`: `prototype`, `text` or `retrieval`."""
        own: float | None = getattr(self.fusion, f"{part}_temperature")
        return self.temperature if own is None else own

    @property
    def tuned(self) -> bool:
        """Whether weights are chosen on the validation split."""
        return self.mode == "evidence" or (self.mode == "fused" and self.fusion.tune)


class RetrievalParams(Params):
    """Which index searches the labels, how deep, and in what blocks."""

    kind: IndexKind = "exact"
    """`exact` (blocked matrix products), `faiss-flat` (exact), or the approximate `faiss-hnsw` (graph), `faiss-ivf`
    (inverted lists), `faiss-ivfpq` (inverted lists of compressed vectors)."""
    dim: int | None = Field(None, ge=1)
    """Width that queries and labels are compared at: their first so many numbers, rescaled (see `model.matryoshka`);
    `null` for all."""
    query_block: int = Field(1024, ge=1)
    """Queries scored at once; memory grows with query_block * label_block * 4 bytes."""
    label_block: int = Field(16_384, ge=1)
    """Labels scored at once by the exact search."""
    hnsw_neighbours: int = Field(32, ge=2, le=256)
    """Links of each node of the HNSW graph (M), 2 to 256."""
    hnsw_build_depth: int = Field(200, ge=1)
    """Candidates kept while the graph is built (efConstruction)."""
    hnsw_search_depth: int = Field(256, ge=1)
    """Candidates kept while searching (efSearch); raised to the number of labels asked for when that is larger."""
    ivf_lists: int = Field(0, ge=0)
    """Inverted lists of the IVF indexes; 0 chooses 4 * sqrt(number of labels)."""
    ivf_probes: int = Field(32, ge=1)
    """Inverted lists visited for each query."""
    pq_subvectors: int = Field(0, ge=0)
    """Bytes a vector of IVF-PQ; must divide the embedding width; 0 chooses about a quarter of the width."""
    train_queries: bool = True
    """Publish the embeddings of the training queries (float16, one more pass over them): for blended rankings, and to
    explain predictions by the nearest training queries."""
    imageless_prior: float = Field(0.0, ge=0)
    """For a model that looks at images: weight of log(1 + training queries of a label) in the scores of a query that
    has no image. Without the picture that decides, the more frequent of the labels that fit is the better guess, which
    label vectors shared with queries that have one cannot say. The best 100 labels are scored again."""
    augmentation: AugmentationParams = AugmentationParams()
    """Rankings that blend several searches."""


class IndexReportParams(Params):
    """What the pipeline `index_report` compares."""

    num_queries: int = Field(1000, ge=1)
    """Test queries that are searched, the first ones."""
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
    """File of new labels (JSON lines, CSV or Parquet with columns id, text and, if there are, images); the ids must be
    new."""
    update: str | None = None
    """File of labels whose text and images replace what was there."""
    remove: str | None = None
    """File with the ids of labels to take out."""
    image_root: str | None = None
    """Folder that image paths of the files are relative to; null is the folder of the first of these files."""
    free: Literal["nearest", "mean", "zero"] = "mean"
    """Free vector of a new label: the nearest trained label's, a softmax mean of the nearest ones', or zero."""
    centroid: Literal["nearest", "mean", "zero"] = "mean"
    """Centroid of a new label, likewise; `zero` is what training gives a label without training query."""
    neighbours: int = Field(10, ge=1)
    """Trained labels that a mean takes in."""
    temperature: float = Field(0.05, gt=0)
    """Softmax temperature of a mean's weights over similarities."""
