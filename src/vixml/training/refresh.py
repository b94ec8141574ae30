"""Refreshes of clusters and mined labels: the exact one between the stages, the stale ones inside the hard stage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.core.errors import StateError
from vixml.core.seeding import torch_generator
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.distributed import group
from vixml.models.dual import DualModel
from vixml.negatives.centroids import update_centroids
from vixml.negatives.curriculum import cluster_size_at, is_due, refresh_number
from vixml.negatives.mining import Mined, mine_labels
from vixml.negatives.report import clusters_report, negatives_report
from vixml.negatives.table import MinedTable
from vixml.params.variant import VariantParams
from vixml.retrieval.clustering import balanced_clusters
from vixml.training.encode import embed_all, embedded_labels
from vixml.training.state import TrainingState, monitored_queries
from vixml.training.training_data import TrainingData

Ints = NDArray[np.int64]
Vectors = NDArray[np.floating]

_ROWS = 65_536  # rows of the bank that are moved at once

_QUERIES, _POINTS, _SIZES = "queries.npy", "cluster_points.npy", "cluster_sizes.npy"
_MONITORED = "monitored_labels.npy"


@dataclass(frozen=True)
class Refreshed:
    """What a refresh inside the hard stage made new.

    Args:
        clusters: Clusters of the training queries.
        mined: Mined labels of all training queries; None where they were not due.
        monitored: Labels mined for the monitored queries; None where nothing was mined.
        record: `renewed`, `seconds`, and what `clusters_report` and `negatives_report` measure.
    """

    clusters: list[Ints]
    mined: MinedTable | None
    monitored: NDArray[np.integer] | None
    record: dict[str, float]


def refresh(state: TrainingState, data: TrainingData, params: VariantParams, *, seed: int, scratch: Path) -> Refreshed:
    """Cluster the training queries again from the stale bank, and mine labels where that is due.

    Queries are compared by the bank's embeddings, the labels are embedded with the present weights.

    Args:
        state: The state of the training.
        data: Training data.
        params: Settings of the variant.
        seed: Root seed.
        scratch: Existing folder for embeddings that are of no use afterwards.
    """
    started = time.perf_counter()
    clusters = make_clusters(state.bank, state.rows, state.epoch, params, seed, state.model.device)
    bank = state.bank.cpu().numpy()
    record: dict[str, float] = clusters_report(bank, data.relevance, clusters, state.clusters)
    number = refresh_number(state.epoch, params.batching)
    renewed = params.batching.mined_per_query > 0 and is_due(number, params.batching.mine_every)
    mined = monitored = None
    if renewed or is_due(number, params.batching.measure_every):
        precision = params.optim.precision
        with embedded_labels(state.model, data.labels, scratch, precision=precision, desc="refresh labels") as labels:
            mined, monitored, measured = _mine(state, bank, labels, data.relevance, params, everything=renewed)
        record |= measured
    record = {"renewed": renewed, **record, "seconds": time.perf_counter() - started}
    return Refreshed(clusters, mined, monitored, record)


def _mine(
    state: TrainingState,
    bank: NDArray[np.float16],
    labels: tuple[Vectors, Vectors],
    relevance: sp.csr_matrix,
    params: VariantParams,
    *,
    everything: bool,
) -> tuple[MinedTable | None, NDArray[np.integer], dict[str, float]]:
    """Mine for all queries, or for the monitored ones alone, among labels of which texts and prototypes are given.

    Returns:
        The table of all queries (None if they were not asked for), the labels of the monitored ones, and how hard those
        are.
    """
    monitored, table = state.monitored_rows, None
    rows = state.rows if everything else monitored
    mined = _mine_together(bank, rows, labels, relevance, params=params, device=state.model.device)
    if everything:
        table = _for_all_queries(mined, rows, relevance.shape[0])
        place = np.searchsorted(rows, monitored)
        mined = Mined(mined.labels[place], mined.scores[place], mined.duplicates.take(place), mined.near_duplicates)
    report = negatives_report(bank, labels[1], relevance, mined, rows=monitored, previous=state.monitored)
    return table, mined.labels, report


def _mine_together(
    bank: Vectors,
    rows: Ints,
    labels: tuple[Vectors, Vectors],
    relevance: sp.csr_matrix,
    *,
    params: VariantParams,
    device: torch.device,
) -> Mined:
    """Mine for the queries `rows`; several ranks search for a share of them each, and all get all labels."""
    texts, prototypes = labels
    mine = rows[group.consecutive_share(len(rows))]
    found = mine_labels(bank, prototypes, texts, relevance, rows=mine, params=params.batching, device=str(device))
    if not group.is_divided():
        return found
    left_out = RaggedArray(
        group.in_order(found.duplicates.values), offsets_of(group.in_order(found.duplicates.lengths.astype(np.int64)))
    )
    looked_at = int(group.in_order(np.array([found.looked_at])).sum())
    share = len(left_out.values) / max(1, looked_at)
    return Mined(group.in_order(found.labels), group.in_order(found.scores), left_out, share, looked_at)


def _for_all_queries(mined: Mined, rows: Ints, count: int) -> MinedTable:
    """Return what was mined for the queries `rows` (ascending) as a table of all `count` queries."""
    labels = np.full((count, mined.labels.shape[1]), -1, dtype=np.int32)
    labels[rows] = mined.labels
    lengths = np.zeros(count, dtype=np.int64)
    lengths[rows] = mined.duplicates.lengths
    return MinedTable(labels, RaggedArray(mined.duplicates.values, offsets_of(lengths)))


def make_clusters(
    bank: Vectors | torch.Tensor, rows: Ints, epoch: int, params: VariantParams, seed: int, device: torch.device
) -> list[Ints]:
    """Cluster the training queries `rows` by their bank embeddings at the size of `epoch`.

    The leader of several ranks does, and tells the others.
    """
    if not group.leads():
        order, sizes = group.from_leader([rows, rows])
        return np.split(order, np.cumsum(sizes)[:-1])
    generator = torch_generator(seed, "clusters", epoch)
    size = cluster_size_at(epoch, params.batching)
    points = _points(bank, rows, device)
    clusters = [rows[cluster.numpy()] for cluster in balanced_clusters(points, size=size, generator=generator)]
    group.from_leader([np.concatenate(clusters), np.array([len(cluster) for cluster in clusters])])
    return clusters


def _points(bank: Vectors | torch.Tensor, rows: Ints, device: torch.device) -> torch.Tensor:
    """Return rows [n, d] of the bank on the device, in the bank's type, without another copy of it on the way."""
    if isinstance(bank, torch.Tensor) and bank.device == device and len(rows) == len(bank):
        return bank
    kind = bank.dtype if isinstance(bank, torch.Tensor) else torch.float16
    points = torch.empty((len(rows), bank.shape[1]), dtype=kind, device=device)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        taken = bank[torch.from_numpy(part).to(bank.device)] if isinstance(bank, torch.Tensor) else bank[part]
        points[start : start + len(part)] = torch.as_tensor(taken).to(device)
    return points


def refresh_exactly(
    model: DualModel, data: TrainingData, params: VariantParams, *, seed: int, folder: Path
) -> dict[str, float]:
    """Embed all training queries and labels with the present weights, cluster the queries, mine labels.

    Labels are mined for all queries where batches draw from them, else for the monitored ones alone, which say how hard
    the negatives are.

    Args:
        model: The model after the first stage; its centroids are renewed.
        data: Training data.
        params: Settings of the variant.
        seed: Root seed.
        folder: Where the result is written: `read_exact` reads it.

    Returns:
        What `negatives_report` and `clusters_report` measure.
    """
    precision, relevance = params.optim.precision, data.relevance
    queries = embed_all(model, data.queries, precision=precision, desc="refresh queries", into=folder / _QUERIES)
    update_centroids(model, queries, relevance)
    rows = np.flatnonzero(np.diff(relevance.indptr)).astype(np.int64)
    clusters = make_clusters(queries, rows, params.batching.start_epoch, params, seed, model.device)
    monitored = monitored_queries(rows, seed)
    asked = rows if params.batching.mined_per_query else monitored
    with embedded_labels(model, data.labels, folder, precision=precision, desc="refresh labels") as labels:
        mined = _mine_together(queries, asked, labels, relevance, params=params, device=model.device)
        report = negatives_report(queries, labels[1], relevance, mined, rows=asked)
    report |= clusters_report(queries, relevance, clusters)
    if not group.leads():
        return report
    if params.batching.mined_per_query:
        _for_all_queries(mined, rows, len(queries)).save(folder)
    np.save(folder / _MONITORED, mined.labels[np.searchsorted(asked, monitored)], allow_pickle=False)
    np.save(folder / _POINTS, np.concatenate(clusters), allow_pickle=False)
    np.save(folder / _SIZES, np.array([len(c) for c in clusters]), allow_pickle=False)
    return report


@dataclass(frozen=True)
class ExactRefresh:
    """What `refresh_exactly` wrote.

    Args:
        queries: Embeddings of the training queries, a memory map float16 [N, d].
        clusters: Their clusters.
        monitored: Labels mined for the monitored queries [m, k].
        mined: Labels mined for all queries; None where batches draw from none.
    """

    queries: NDArray[np.float16]
    clusters: list[Ints]
    monitored: NDArray[np.integer]
    mined: MinedTable | None


def read_exact(folder: Path, *, mined: bool, remedy: str) -> ExactRefresh:
    """Return what `refresh_exactly` wrote.

    Args:
        folder: Where it was written.
        mined: Whether batches draw from mined labels.
        remedy: What to do where an earlier version, or one with other settings, wrote the folder.

    Raises:
        StateError: An earlier version wrote the folder, or no labels were mined for all queries.
    """
    names = (_QUERIES, _POINTS, _SIZES, _MONITORED)
    if not (folder / _MONITORED).exists():
        raise StateError(
            "an earlier version made these hard negatives", file=folder, found=f"no {_MONITORED}", remedy=remedy
        )
    queries, points, sizes, monitored = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names)
    clusters = np.split(np.asarray(points), np.cumsum(sizes)[:-1])
    table = MinedTable.open(folder, remedy=remedy) if mined else None
    return ExactRefresh(queries, clusters, np.asarray(monitored), table)
