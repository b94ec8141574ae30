"""Refreshes of clusters and mined labels: the exact one between the stages, the stale ones inside the hard stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.seeding import numpy_generator
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.negatives.curriculum import is_due, refresh_number
from vixml.negatives.mining import Mined, mine_labels
from vixml.negatives.report import clusters_report, negatives_report
from vixml.negatives.table import MinedTable
from vixml.training.bank import make_clusters
from vixml.training.encode import embed_labels

if TYPE_CHECKING:
    from vixml.training.loop import Trainer

Ints = NDArray[np.int64]

_MONITORED = 1024


def monitored_queries(rows: Ints, seed: int) -> Ints:
    """Return the queries whose negatives are compared from refresh to refresh: all, or a fixed sample of many."""
    if len(rows) <= _MONITORED:
        return rows
    return np.sort(numpy_generator(seed, "watched").choice(rows, _MONITORED, replace=False))


def refresh(trainer: Trainer) -> None:
    """Cluster the training queries anew from the stale bank, renew the mined labels where they are due, record both.

    Queries are compared by the bank's embeddings, the labels are embedded with the present weights.
    """
    started = time.perf_counter()
    batching, before = trainer.params.batching, trainer.clusters
    device = trainer.model.device
    clusters = make_clusters(trainer.bank, trainer.rows, trainer.epoch, trainer.params, trainer.seed, device)
    trainer.clusters = clusters
    bank = trainer.bank.cpu().numpy()
    record: dict[str, float] = clusters_report(bank, trainer.inputs.relevance, clusters, before)
    number = refresh_number(trainer.epoch, batching)
    renewed = batching.mined_per_query > 0 and is_due(number, batching.mine_every)
    if renewed or is_due(number, batching.measure_every):
        record |= _mine(trainer, bank, everything=renewed)
    trainer.refreshes.log(
        step=trainer.step, epoch=trainer.epoch, renewed=renewed, **record, seconds=time.perf_counter() - started
    )


def _mine(trainer: Trainer, bank: NDArray[np.float16], *, everything: bool) -> dict[str, float]:
    """Mine for all queries, or for the monitored ones alone; return how hard the monitored ones' negatives are."""
    relevance, batching = trainer.inputs.relevance, trainer.params.batching
    texts, prototypes = embed_labels(
        trainer.model, trainer.inputs.labels, precision=trainer.params.optim.precision, desc="refresh labels"
    )
    device, monitored = str(trainer.model.device), monitored_queries(trainer.rows, trainer.seed)
    rows = trainer.rows if everything else monitored
    mined = mine_labels(
        bank[rows].astype(np.float32), prototypes, texts, sp.csr_matrix(relevance[rows]), params=batching, device=device
    )
    if everything:
        trainer.mined = _for_all_queries(mined, rows, relevance.shape[0])
        place = np.searchsorted(rows, monitored)
        mined = Mined(mined.labels[place], mined.scores[place], mined.duplicates.take(place), mined.near_duplicates)
    report = negatives_report(
        bank[monitored].astype(np.float32), prototypes, sp.csr_matrix(relevance[monitored]), mined, trainer.monitored
    )
    trainer.monitored = mined.labels
    return report


def _for_all_queries(mined: Mined, rows: Ints, count: int) -> MinedTable:
    """Return what was mined for the queries `rows` (ascending) as a table of all `count` queries."""
    labels = np.full((count, mined.labels.shape[1]), -1, dtype=np.int32)
    labels[rows] = mined.labels
    lengths = np.zeros(count, dtype=np.int64)
    lengths[rows] = mined.duplicates.lengths
    return MinedTable(labels, RaggedArray(mined.duplicates.values, offsets_of(lengths)))
