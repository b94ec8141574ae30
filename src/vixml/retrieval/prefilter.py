"""Exact search on a processor that multiplies bfloat16: find the candidates with half the bits, score them in full.

The products of the rounded vectors cost half as much as those in float32. How far such a score can be from the true one
is known, so a label is left out only where it certainly is not among the best: nothing is lost. What remains, a few
times the labels asked for, is scored again in float32.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.models.device import cpu_has_bf16
from vixml.retrieval.blocks import (
    check_finite,
    excluded_by_block,
    floats,
    keys_of,
    scores_and_labels,
    scores_of,
    side_by_side,
)

if TYPE_CHECKING:
    import torch

_MIN_LABELS, _MIN_QUERIES, _MAX_WIDTH = 65_536, 256, 4096
_SPARSE = 400  # times as many labels as are wanted, at least: else too many are candidates
_SAMPLE = 8192  # labels whose scores give a first guess of the score to beat
_GROUPS, _BLOCK = 64, 2048  # a block is looked at through the largest score of each of its groups
_RESCORED = 1 << 18  # numbers of label vectors gathered at once where they must be widened: 1 MB
_CROWD = 32  # times as many candidates as labels wanted: then the plain search is as fast
# Rounding to 8 significant bits errs by at most 2^-9 of a number; sums are taken in float32, which errs by at most
# width * 2^-23 of the product of the norms, in the rounded score and in the exact one.
_ROUNDING, _ADDING = 2.0**-9, 2.0**-22
_SAFE = 1.01  # the norms are themselves rounded


class Bfloat16Prefilter:
    """The search through one set of labels.

    Args:
        labels: Label vectors [L, D], of any float type; array, memory map or tensor on the CPU.

    Raises:
        DataError: A label vector is not finite.
    """

    def __init__(self, labels: Any) -> None:
        import torch

        self._labels = labels
        self._plain = _plain(labels)
        self._norm = self._error = 0.0  # the largest of a label, and of its rounding error
        cpu = torch.device("cpu")
        for start in range(0, len(labels), _BLOCK):
            block = floats(labels[start : start + _BLOCK], cpu)
            check_finite(block, "label", start)
            self._norm = max(self._norm, float(block.norm(dim=1).max()))
            self._error = max(self._error, float((block - block.bfloat16()).norm(dim=1).max()))
        self._sample = floats(labels[:: -(-len(labels) // _SAMPLE)], cpu).bfloat16()

    @staticmethod
    def pays(labels: Any, num_queries: int, depth: int, device: torch.device) -> bool:
        """Return whether it is faster than the plain search: on a CPU with bfloat16, for many labels and queries."""
        import torch

        if device.type != "cpu" or not isinstance(labels, np.ndarray | torch.Tensor):
            return False
        count, width = labels.shape
        large = count >= max(_MIN_LABELS, _SPARSE * depth) and num_queries >= _MIN_QUERIES and width <= _MAX_WIDTH
        return large and torch.backends.mkldnn.is_available() and cpu_has_bf16()

    def search(
        self, query_bd: torch.Tensor, depth: int, exclude: sp.csr_matrix | None, scores: NDArray[Any], ids: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Search a block of queries.

        Args:
            query_bd: Queries float32 [b, D].
            depth: Labels wanted for each query.
            exclude: Pairs that must not be found, CSR [b, L], or nothing.
            scores: Takes the scores of the queries that were settled [>= b, >= depth].
            ids: Takes their labels.

        Returns:
            The queries that were not, int64: the first guess of the score to beat was too high for them, or so low
            that labels crowd above it.
        """
        import torch

        width = query_bd.shape[1]
        half = query_bd.bfloat16()
        norm, error = (vectors.norm(dim=1, keepdim=True) for vectors in (query_bd, query_bd - half))
        # q.l differs from the product of the rounded vectors by (q - q').l + q'.(l - l')
        margin = _SAFE * (error * self._norm + (norm + error) * self._error + norm * self._norm * width * _ADDING)
        cut = _surely_below(self._first_guess(half, depth), margin)
        rough = self._candidates(half, cut, depth, exclude) if bool(torch.isfinite(cut).all()) else None
        if rough is None or rough.shape[1] < depth:
            return np.arange(len(query_bd))
        # NaN, which is neither above nor below, where a query has too few
        edge = _surely_below(scores_of(torch.topk(rough, depth, dim=1).values[:, -1:]), margin)
        settled = torch.nonzero((edge >= cut)[:, 0]).squeeze(1)
        self._settle(query_bd, rough, edge, settled, scores[:, :depth], ids[:, :depth])
        left = np.ones(len(query_bd), dtype=bool)
        left[settled.numpy()] = False
        return np.flatnonzero(left)

    def _first_guess(self, half: torch.Tensor, depth: int) -> torch.Tensor:
        """Return a score [b, 1] that a few more than `depth` labels will probably reach, judging by a sample."""
        import torch

        score = half @ self._sample.T
        rank = int(1.5 * depth * len(self._sample) / len(self._labels)) + 5
        return torch.topk(score.float(), rank, dim=1, sorted=False).values.amin(dim=1, keepdim=True)

    def _candidates(
        self, half: torch.Tensor, cut: torch.Tensor, depth: int, exclude: sp.csr_matrix | None
    ) -> torch.Tensor | None:
        """Return the keys of all rounded scores that reach `cut` [b, 1], as [b, most of a query].

        A query that has too many gets none; where all together have, there is no result.
        """
        import torch

        rows, keys, room = [], [], _CROWD * depth * len(half)
        bound = cut.bfloat16()
        bound = torch.where(bound.float() > cut, torch.nextafter(bound, torch.full_like(bound, -torch.inf)), bound)
        tile = torch.empty(len(half) * _BLOCK, dtype=torch.bfloat16)
        masks = excluded_by_block(exclude, len(self._labels), _BLOCK)
        for start, (gone, columns) in zip(range(0, len(self._labels), _BLOCK), masks, strict=False):
            label_ld = floats(self._labels[start : start + _BLOCK], half.device).bfloat16()
            score = tile[: len(half) * len(label_ld)].view(len(half), len(label_ld))
            torch.mm(half, label_ld.T, out=score)
            if len(gone):
                score[torch.from_numpy(gone), torch.from_numpy(columns)] = -torch.inf
            row, column = _reaching(score, bound)
            rows.append(row)
            keys.append(keys_of(score[row, column].float(), start + column))
            room -= len(row)
            if room < 0:
                return None
        row, key = torch.cat(rows), torch.cat(keys)
        few = torch.bincount(row, minlength=len(half))[row] <= _CROWD * depth
        return side_by_side(row[few], key[few], len(half))

    def _settle(
        self,
        query_bd: torch.Tensor,
        rough: torch.Tensor,
        edge: torch.Tensor,
        settled: torch.Tensor,
        scores: NDArray[Any],
        ids: NDArray[Any],
    ) -> None:
        """Score the candidates of the settled queries that reach `edge` [b, 1] in float32, and write the best."""
        import torch

        rough, query_bd = rough[settled], query_bd[settled]
        row, place = torch.nonzero(scores_of(rough) >= edge[settled], as_tuple=True)
        label = scores_and_labels(rough[row, place])[1]
        score = self._exact(query_bd, row, label)
        best = torch.topk(side_by_side(row, keys_of(score, label), len(rough)), scores.shape[1], dim=1).values
        done, found = settled.numpy(), scores_and_labels(best)
        scores[done], ids[done] = (part.numpy() for part in found)

    def _exact(self, query_bd: torch.Tensor, row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return the float32 scores of pairs of a query (in rising order) and a label [n]."""
        import torch

        if self._plain is not None:
            return _products(query_bd, self._plain, row, label)
        score = torch.empty(len(row))
        for part in torch.arange(len(row)).split(max(1, _RESCORED // query_bd.shape[1])):
            index = label[part].numpy() if isinstance(self._labels, np.ndarray) else label[part]
            widened = floats(self._labels[index], query_bd.device)
            score[part] = _products(query_bd, widened, row[part], torch.arange(len(part)))
        return score


def _plain(labels: Any) -> torch.Tensor | None:
    """Return the labels as a float32 tensor where that takes no copy, or None."""
    import torch

    if isinstance(labels, np.ndarray):
        shared = labels.flags.writeable and labels.flags.c_contiguous and labels.dtype == np.float32
        return torch.from_numpy(labels) if shared else None
    return labels if labels.dtype == torch.float32 and labels.is_contiguous() else None


def _products(a: torch.Tensor, b: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Return the inner products of the pairs (a[row], b[column]) [n], `row` rising; no row is gathered.

    Each is summed by itself in one order: equal vectors get equal scores, wherever they stand.
    """
    import torch

    start = torch.zeros(len(a) + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(row, minlength=len(a)), dim=0, out=start[1:])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        pairs = torch.sparse_csr_tensor(
            start, column, torch.zeros(len(row)), size=(len(a), len(b)), check_invariants=False
        )
        return torch.sparse.sampled_addmm(pairs, a, b.T, beta=0.0).values()


def _surely_below(score: torch.Tensor, margin: torch.Tensor) -> torch.Tensor:
    """Return what a rounded score [b, 1] reaches if the true one is at least that of a label with rounded `score`.

    Args:
        score: A rounded score of each query.
        margin: Most that the product of the rounded vectors errs, before it is rounded too.
    """
    return score - 2 * margin - 2 * _SAFE * _ROUNDING * (score.abs() + 2 * margin)


def _reaching(score: torch.Tensor, bound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the places (row, column) of the scores [b, l] that are at least `bound` [b, 1]."""
    import torch

    size = score.shape[1] // _GROUPS
    if size * _GROUPS != score.shape[1]:
        return torch.nonzero(score >= bound, as_tuple=True)  # type: ignore[return-value]
    groups = score.view(len(score), size, _GROUPS)  # members are apart: so their largest is found by whole vectors
    row, group = torch.nonzero(groups.amax(dim=1) >= bound, as_tuple=True)
    hit, member = torch.nonzero(groups[row, :, group] >= bound[row], as_tuple=True)
    return row[hit], member * _GROUPS + group[hit]
