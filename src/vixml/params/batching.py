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
    """Most tokens that go through the network at once: a batch is cut into chunks by length (memory and speed only)."""
    gradient_cache: bool = False
    """Embed the pool without a graph first and then chunk by chunk again with it: any pool fits into the memory of one
    chunk, for a third more time; the gradients are the same."""
    start_epoch: int = Field(10, ge=0)
    """First epoch with clustered batches; the exact refresh happens right before it."""
    update_every: int = Field(5, ge=1)
    """Epochs between two re-clusterings from the stale embedding bank."""
    cluster_size: int = Field(16, ge=1)
    """Queries per cluster at the start of the curriculum."""
    double_at: tuple[int, ...] = (20, 40, 60, 80, 100, 120)
    """Epochs at which the cluster size doubles, increasing."""
    mined_labels: int = Field(50, ge=1)
    """Hard negative labels kept of each training query, the nearest of twice as many that are looked at."""
    mined_per_query: int = Field(0, ge=0)
    """Mined labels drawn per query and step and added to the pool; 0 is the paper's protocol."""
    mine_every: int = Field(0, ge=0)
    """Refreshes inside the hard stage from one renewal of the mined labels to the next; 0 keeps those of the exact
    refresh to the end."""
    mining_index: IndexKind = "exact"
    """Which search mines; the approximate ones are for millions of labels."""
    duplicate_similarity: float | None = Field(0.95, gt=0, le=1)
    """A label whose text is at least this similar (cosine) to a relevant label's of the query is no negative; `null`
    for no such filter."""
    duplicate_query_similarity: float | None = Field(None, gt=0, le=1)
    """A label that is at least this similar (cosine) to the query itself is no negative; `null` for no such filter."""
    measure_every: int = Field(1, ge=0)
    """Refreshes inside the hard stage from one that also embeds all labels, to say how hard the negatives are, to the
    next; 0 never. Costs 1 to 4 % of the training time, changes no result."""

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
