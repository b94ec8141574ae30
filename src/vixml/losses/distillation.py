"""Learning from soft labels: cross-entropy with a teacher's distribution over the pool (Hinton et al., 2015)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax


def soft_cross_entropy(query: Tensor, text: Tensor, prototype: Tensor, soft: Tensor, *, temperature: float) -> Tensor:
    """Return the cross-entropy of the student's distribution over the pool with the teacher's, for both label vectors.

    A row of `soft` is scaled to sum 1: the teacher's distribution. The student's is the softmax of its similarities.

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: Unit prototypes of the pooled labels [P, d].
        soft: How likely each label of the pool is, at least 0 [B, P].
        temperature: Divides the similarities.

    Returns:
        The scalar sum over text and prototype of the mean over rows. A row without any likely label adds nothing.
    """
    share = soft / soft.sum(dim=1, keepdim=True).clamp(min=1e-6)
    on_text, on_prototype = (log_softmax(query @ side.T / temperature, dim=1) for side in (text, prototype))
    return -(share * (on_text + on_prototype)).sum(dim=1).mean()
