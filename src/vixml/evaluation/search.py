"""The search through all labels for one side's queries, divided among ranks where that is worth starting them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.core.errors import StateError
from vixml.data.dataset import Dataset
from vixml.distributed import group
from vixml.distributed.job import run_in_ranks
from vixml.distributed.machines import machines_of
from vixml.evaluation.evidence import described, has_prior, open_ranking, plain_ranker
from vixml.images.bank import ImageBank
from vixml.params.variant import VariantParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described
from vixml.retrieval.augmentation import Ranker

IMAGELESS = "test_imageless.npy"
WORTH = 10_000_000_000
"""Pairs of a query and a label from which on ranks are started: more than a minute of one core."""
_FOLDER, _SHARE = "search", "vixml.evaluation.search:search_share"
_ALL = slice(None)


@dataclass(frozen=True)
class Sources:
    """What a search of the test queries reads.

    Args:
        params: Settings of the variant.
        dataset: The data set.
        embeddings: Published embeddings with `test_queries.npy` float32 [n, d].
        index: Published label index.
        evidence: All evidence about labels, for the ranking of that name.
        image_bank: The image bank of a variant whose test queries show their images.
    """

    params: VariantParams
    dataset: Dataset
    embeddings: SealedDirectory
    index: SealedDirectory
    evidence: SealedDirectory | None = None
    image_bank: SealedDirectory | None = None

    def ranker(self) -> Ranker | EvidenceRanker:
        """Open what ranks the labels."""
        plain = plain_ranker(self.params, self.embeddings, self.index, self.dataset.relevance("train"))
        if self._by_evidence and self.evidence is not None:
            return open_ranking(self.evidence, plain)
        return plain

    @property
    def _by_evidence(self) -> bool:
        return self.params.retrieval.augmentation.mode == "evidence" and self.evidence is not None

    def queries(self) -> NDArray[np.float32]:
        """Return the embeddings of the queries as a memory map."""
        found: NDArray[np.float32] = np.load(
            self.embeddings.path / "test_queries.npy", mmap_mode="r", allow_pickle=False
        )
        return found

    def described(self, rows: slice = _ALL) -> Described | None:
        """Return some queries as a ranking with all evidence sees them; None for another ranking."""
        if not self._by_evidence:
            return None
        bank = None if self.image_bank is None else ImageBank.open(self.image_bank.path)
        items = self.dataset.items("test")
        return described("test", items, self.embeddings, bank, self.params.model.max_images, rows)

    def imageless(self, rows: slice = _ALL) -> NDArray[np.bool_] | None:
        """Return which of some queries have no image, where that counts."""
        if not has_prior(self.params):
            return None
        if IMAGELESS not in self.embeddings.files:
            raise StateError(
                "these embeddings lack the no-image mask that retrieval.imageless_prior needs",
                file=self.embeddings.path,
                remedy="run the variant's `evaluation` pipeline again, from its first node.",
            )
        found: NDArray[np.bool_] = np.load(self.embeddings.path / IMAGELESS, allow_pickle=False)[rows]
        return found


@dataclass(frozen=True)
class Searched:
    """The ranked labels of all queries.

    Args:
        scores: float32 [n, depth], best first.
        labels: int64 [n, depth], -1 where fewer remain.
        plain: Labels by the prototypes alone [n, k], where the ranking is a blend or has a prior; else None.
        mode: What the ranking is called in results.
        seconds: How long the search took, without `plain`.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    plain: NDArray[np.int64] | None
    mode: str
    seconds: float


def search(sources: Sources, depth: int, k: int, rows: slice = _ALL) -> Searched:
    """Rank the labels of some test queries in this process.

    Args:
        sources: The queries, and what ranks their labels.
        depth: Labels of each.
        k: Labels of each by the prototypes alone.
        rows: Which queries.
    """
    ranker: Any = sources.ranker()
    queries, exclude = sources.queries()[rows], sources.dataset.filter("test")[rows]
    asked, imageless = sources.described(rows), sources.imageless(rows)
    started = time.perf_counter()
    scores, labels = ranker.search(queries if asked is None else asked, depth, exclude=exclude, imageless=imageless)
    seconds = time.perf_counter() - started
    plain = None
    if ranker.mode != "none" or ranker.prior is not None:
        _, plain = ranker.labels.search(queries, k, exclude=exclude)
    return Searched(scores, labels, plain, ranker.mode, seconds)


def search_together(sources: Sources, depth: int, k: int, work: WorkDirectory) -> Searched | None:
    """Rank the labels of all test queries in as many ranks as the settings say; None where one process is enough.

    Args:
        sources: The queries, and what ranks their labels.
        depth: Labels of each.
        k: Labels of each by the prototypes alone.
        work: Where the ranks write.
    """
    machines = machines_of(sources.params.training)
    pairs = len(sources.queries()) * sources.index.meta["labels"]
    if machines.processes * machines.count == 1 or pairs < WORTH:
        return None
    given = {**vars(sources), "depth": depth, "k": k, "work": work}
    mode, seconds = run_in_ranks(_SHARE, given, folder=work.path / f"{_FOLDER}.ranks", machines=machines)
    read: Any = {file.stem: np.load(file, allow_pickle=False) for file in (work.path / _FOLDER).glob("*.npy")}
    return Searched(read["scores"], read["labels"], read.get("plain"), mode, seconds)


def search_share(*, depth: int, k: int, work: WorkDirectory, **sources: Any) -> tuple[str, float]:
    """Rank the labels of this rank's share of the queries; the leader writes those of all.

    Returns:
        What the ranking is called, and the seconds of the slowest rank.
    """
    source = Sources(**sources)
    found = search(source, depth, k, group.consecutive_share(len(source.queries())))
    (seconds,) = group.largest(found.seconds)
    whole = replace(
        found,
        scores=group.in_order(found.scores),
        labels=group.in_order(found.labels),
        plain=None if found.plain is None else group.in_order(found.plain),
    )
    if group.leads():
        folder = work.fresh(_FOLDER)
        for name in ("scores", "labels", "plain"):
            if (array := getattr(whole, name)) is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
    return found.mode, seconds
