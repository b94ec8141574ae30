"""Parameters of the classifiers of labels."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class ClassifierParams(Params):
    """Ridge regression of every label on the features of queries, all training queries as examples."""

    ridge: float = Field(2.0, gt=0)
    """Strength of the regularisation, in training queries: features of each space have length 1."""
    sketch_dim: int = Field(2048, ge=0)
    """Width to which the sparse lexical features are hashed; 0 leaves them out."""
    label_block: int = Field(4096, ge=1)
    """Labels solved at the same time; memory is 8 * label_block * width bytes."""
    row_block: int = Field(16_384, ge=1)
    """Training queries read at the same time."""


class TreeParams(Params):
    """A tree of labels with a linear classifier at each node, on the words of the queries."""

    leaf_size: int = Field(64, ge=2)
    """Maximum number of labels in a cluster at the bottom of the tree."""
    branching: int = Field(16, ge=2)
    """Maximum number of children of a cluster, a power of two; other values are rounded down to one."""
    cost: float = Field(1.0, gt=0)
    """Cost of an error on a training query relative to the length of the weights (liblinear's C)."""
    passes: int = Field(20, ge=1)
    """Maximum number of passes of the solver over a node's queries."""
    threshold: float = Field(0.1, ge=0)
    """Smaller weights are dropped."""
    beam: int = Field(20, ge=1)
    """Clusters per level whose children are searched."""
