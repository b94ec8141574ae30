"""Parameters of the classifiers, one for each label."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class ClassifierParams(Params):
    """Ridge regression of every label on the features of queries, all training queries as examples."""

    ridge: float = Field(2.0, gt=0)
    """Strength of the regularisation, in training queries: features of each space have length 1."""
    sketch_dim: int = Field(2048, ge=0)
    """Width that the sparse lexical features are hashed to; 0 leaves them out."""
    label_block: int = Field(4096, ge=1)
    """Labels solved at once; memory is 8 * label_block * width bytes."""
    row_block: int = Field(16_384, ge=1)
    """Training queries read at once."""
