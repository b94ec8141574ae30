"""Parameters of search over label embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vixml.params.base import Params

IndexKind = Literal["exact", "faiss-flat", "faiss-hnsw", "faiss-ivf"]


class RetrievalParams(Params):
    """Which index searches the labels, how deep, and in what blocks."""

    kind: IndexKind = "exact"
    """`exact` (blocked matrix products), `faiss-flat` (exact), `faiss-hnsw` or `faiss-ivf` (approximate)."""
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
    """Inverted lists of the IVF index; 0 chooses 4 * sqrt(number of labels)."""
    ivf_probes: int = Field(32, ge=1)
    """Inverted lists visited for each query."""
