"""Settings of batches and hard negatives."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, field_validator, model_validator

from vixml.params.base import Params
from vixml.params.retrieval import IndexKind


class BatchingParams(Params):
    """NGAME batches: random ones first, then batches of clusters of similar queries."""

    batch_size: int = Field(2048, ge=2)
    """Queries per step; the pool holds one sampled label each. Clipped to the number of training points."""
    chunk_tokens: int = Field(8192, ge=64)
    """Maximum number of tokens in one pass through the network: a batch is cut into chunks by length (affects memory
    and speed only)."""
    gradient_cache: bool = False
    """Embed the pool first without a graph, then again chunk by chunk with it: any pool fits into the memory of one
    chunk, for a third more time and with the same gradients."""
    start_epoch: int = Field(10, ge=0)
    """First epoch with clustered batches; the exact refresh happens right before it."""
    update_every: int = Field(5, ge=1)
    """Epochs between two re-clusterings from the stale embedding bank."""
    cluster_size: int = Field(16, ge=1)
    """Queries per cluster at the start of the curriculum."""
    double_at: tuple[int, ...] = (20, 40, 60, 80, 100, 120)
    """Epochs at which the cluster size doubles, increasing."""
    mined_labels: int = Field(50, ge=1)
    """Hard negative labels kept per training query, the nearest of twice as many that are searched."""
    mined_per_query: int = Field(0, ge=0)
    """Mined labels drawn per query and step and added to the pool; 0 is the paper's protocol."""
    mine_every: int = Field(0, ge=0)
    """Renew the mined labels at every n-th refresh inside the hard stage; 0 keeps those of the exact refresh to the
    end."""
    mining_index: IndexKind = "exact"
    """Search used for mining; the approximate ones are for millions of labels."""
    duplicate_similarity: float | None = Field(0.95, gt=0, le=1)
    """A label whose text is at least this similar (cosine) to that of one of the query's relevant labels is not used as
    a negative; `null` for no filter."""
    duplicate_query_similarity: float | None = Field(None, gt=0, le=1)
    """A label that is at least this similar (cosine) to the query itself is not used as a negative; `null` for no
    filter."""
    measure_every: int = Field(1, ge=0)
    """At every n-th refresh inside the hard stage, also embed all labels to measure how hard the negatives are; 0
    never. Costs 1 to 4 % of the training time and does not change results."""

    @field_validator("double_at")
    @classmethod
    def _increasing(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError(f"double_at must increase, found {list(value)}")
        return value

    @model_validator(mode="after")
    def _enough_mined(self) -> BatchingParams:
        if self.mined_per_query > self.mined_labels:
            raise ValueError(f"mined_per_query {self.mined_per_query} is above mined_labels {self.mined_labels}")
        return self
