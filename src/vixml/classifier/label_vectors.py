"""One vector for each label, fitted to the embeddings of the training queries, which stay as they are.

A prototype says where the queries of a label are; which other labels have queries there too, it learns from the few
labels that a step of training compares. Here every query meets its own labels and a large sample of the others, at the
price of a product of matrices: seconds where the network takes hours.

Source: the classifiers over a trained encoder of NGAME (Dahiya et al., WSDM 2023, section 4) and Renee (Jain et al.,
MLSys 2023); the loss is the decoupled softmax of DEXML (Gupta et al., ICLR 2024, section 4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from vixml.core.progress import progress
from vixml.core.seeding import numpy_generator
from vixml.losses.decoupled_softmax import decoupled_softmax_loss
from vixml.params.model import LabelVectorParams
from vixml.params.objective import ObjectiveParams

_EPS = 1e-4  # AdamW's: far below the gradients that count, far above those that are rounding alone


def fit_label_vectors(
    queries: NDArray[Any],
    relevance: sp.csr_matrix,
    start: NDArray[Any],
    params: LabelVectorParams,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """Return unit vectors float32 [L, d] of all labels; one without a training query stays where it starts.

    Args:
        queries: Unit embeddings of the training queries [N, d]; may be a memory map.
        relevance: Their labels, CSR [N, L].
        start: Unit prototypes of the labels [L, d].
        params: Epochs, batches, step size.
        seed: Root seed.
        device: Where the products of matrices run.
    """
    vectors = torch.tensor(np.asarray(start, dtype=np.float32), device=device).requires_grad_()
    softmax = ObjectiveParams(name="decoupled_softmax", softmax_temperature=params.temperature)
    known = np.flatnonzero(np.bincount(relevance.indices, minlength=relevance.shape[1]))
    labelled = np.flatnonzero(np.diff(relevance.indptr))
    optimiser = torch.optim.AdamW([vectors], lr=params.lr, weight_decay=0.0, eps=_EPS)
    rng, steps = numpy_generator(seed, "label vectors"), range(0, len(labelled), params.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=max(1, params.epochs * len(steps)))
    for _ in progress(range(params.epochs), desc="label vectors", unit="epoch"):
        order = rng.permutation(labelled)
        for begin in steps:
            rows = np.sort(order[begin : begin + params.batch_size])
            own = relevance[rows]
            others = rng.choice(known, min(params.negatives, len(known)), replace=False)
            pool = np.union1d(own.indices, others).astype(np.int64)
            target = torch.from_numpy(own[:, pool].toarray() > 0).to(device)
            query = torch.tensor(np.asarray(queries[rows], dtype=np.float32), device=device)
            label = normalize(vectors[torch.from_numpy(pool).to(device)], dim=-1)
            loss, _ = decoupled_softmax_loss(query, label, label, target, softmax)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    fitted: NDArray[np.float32] = normalize(vectors.detach(), dim=-1).cpu().numpy()
    return fitted
