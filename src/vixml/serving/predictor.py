"""The Python interface to a trained model: texts and images in, labels with scores out. No Kedro, no MLflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated, Calibration
from vixml.calibration.curves import LEAD
from vixml.core.errors import DataError
from vixml.data.ids import IdIndex
from vixml.data.items import clean_text
from vixml.ranking.features import Described, ImageRows
from vixml.retrieval.exact import top_k
from vixml.serving.answers import Neighbour, Prediction, Ranked, Selection, whole_number
from vixml.serving.bundle import PredictorBundle
from vixml.serving.encoder import ImageLike, Images, as_lists
from vixml.serving.filters import allowed_rows, excluded_pairs
from vixml.serving.restricted import exactly, restrict

if TYPE_CHECKING:
    import pandas as pd

    from vixml.ranking.evidence import EvidenceRanker
    from vixml.retrieval.augmentation import Ranker
    from vixml.serving.encoder import ItemEncoder

_NEIGHBOUR_LABELS = 10
_CALIBRATED = 100
"""Labels of a query that probabilities are known of where only some labels are searched."""
_log = logging.getLogger(__name__)


class Predictor:
    """A trained model with its labels, ready for queries. Threads may share one.

    In float32 (the default) a query gets the same scores alone and in any batch, to 1e-5.

        predictor = Predictor.open("data/06_models/demo/encoder_vision")
        predictor.predict(["red shoe", "blue lamp"], images=["shoe.png", None], k=5)

    Args:
        bundle: The published predictor.
        encoder: Its network.
        ranker: Its search.
    """

    def __init__(self, bundle: PredictorBundle, encoder: ItemEncoder, ranker: Ranker | EvidenceRanker) -> None:
        self.bundle, self._encoder, self._ranker = bundle, encoder, ranker
        self._told = False

    @classmethod
    def open(
        cls, folder: str | Path, *, device: str = "auto", precision: str = "fp32", exact: bool = False
    ) -> Predictor:
        """Open a published predictor, or the one in a variant's folder of models.

        Args:
            folder: For instance `data/06_models/demo/encoder_vision`.
            device: `auto` (a GPU if there is one), `cpu`, `cuda`, ...
            precision: `fp32`; `bf16` and `auto` are faster, but scores depend slightly on the batch.
            exact: Compare with every label instead of the approximate index that the model was evaluated with.

        Raises:
            StateError: The folder has no complete predictor, or one of its files is malformed.
        """
        from vixml.models.device import resolve_device

        place = str(resolve_device(device))

        def read(bundle: PredictorBundle) -> Predictor:
            ranker = bundle.ranker(device=place)
            if exact:
                ranker = exactly(ranker, bundle, device=place)
            return cls(bundle, bundle.encoder(device=device, precision=precision), ranker)

        return PredictorBundle.open_whole(folder, read)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The labels, one per row; columns uid, text, images (paths relative to the data's raw folder)."""
        return self.bundle.labels

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @property
    def uses_images(self) -> bool:
        """Whether the model uses images; a text-only model ignores them."""
        return self._encoder.uses_images

    @property
    def images_used(self) -> int:
        """Number of images per query that the model uses; further ones are ignored."""
        return self._encoder.max_images if self.uses_images else 0

    @property
    def replaced(self) -> bool:
        """Whether its folder contains another predictor by now; this one keeps answering as it was opened."""
        return self.bundle.replaced

    def limit_decoding(self, seconds: float) -> None:
        """Spend at most `seconds` on decoding each image of a query, as a server should."""
        self._encoder.decode_seconds = seconds

    @property
    def calibration(self) -> Calibrated:
        """How scores are turned into probabilities, or (`absent`) why there are none."""
        return self.bundle.calibration

    @property
    def explains(self) -> bool:
        """Whether `explain` can name training queries."""
        return self.bundle.has_train_queries

    def predict(
        self,
        texts: str | Sequence[str],
        *,
        images: Images | None = None,
        k: int = 5,
        exclude: Sequence[Iterable[str] | None] | None = None,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
        min_probability: float | None = None,
        min_precision: float | None = None,
        max_labels: int | None = None,
    ) -> list[Prediction]:
        """Return the best labels of each query.

        Args:
            texts: n texts; a single string is one query.
            images: For each query an image, a list of images, or None. An image is a file, bytes, or a PIL image.
            k: Number of labels, at least 1; the filters may leave fewer.
            exclude: For each query ids of labels that it must not get; None for none.
            allow: Ids of the only labels allowed for all queries.
            deny: Ids of labels that are never predicted.
            min_probability: See `Selection`.
            min_precision: Likewise.
            max_labels: Likewise.

        Raises:
            DataError: An image cannot be read, the lists differ in length, or no label is left.
            ConfigError: The arguments need probabilities, and the model has none or cannot reach the precision.
        """
        selection = Selection(min_probability, min_precision, max_labels)
        texts, listed = as_lists(texts, images)
        exclude = None if exclude is None else [exclude] if isinstance(exclude, str) else list(exclude)
        if exclude is not None and len(exclude) != len(texts):
            raise DataError("texts and exclusions differ in number", found=f"{len(texts)} and {len(exclude)}")
        k = min(whole_number(k), self.num_labels)
        pairs = None if exclude is None else excluded_pairs(exclude, self.num_labels, self.rows_of)
        among = allowed_rows(self.num_labels, allow, deny, self.rows_of)
        found = self.search(texts, listed, k, exclude=pairs, among=among, selection=selection)
        return self.named(*found[1:])

    def search(
        self,
        texts: Sequence[str],
        images: Sequence[Sequence[ImageLike]] | None,
        k: int,
        *,
        failures: list[tuple[int, str]] | None = None,
        exclude: sp.csr_matrix | None = None,
        among: NDArray[np.int64] | None = None,
        selection: Selection | None = None,
        asked: list[Described] | None = None,
    ) -> Ranked:
        """Embed queries and rank their labels.

        Args:
            texts: n texts.
            images: The images of each query; None if no query has any.
            k: See `rank`.
            failures: See `embed`.
            exclude: See `rank`.
            among: See `rank`.
            selection: Which of the ranked labels to return; None for all.
            asked: Takes the queries as they were ranked, for `shares`.
        """
        if odd := [text for text in texts if not isinstance(text, str)]:
            raise DataError("not a text", found=f"{type(odd[0]).__name__}: {odd[0]}"[:100], expected="a str")
        texts = [clean_text(text) for text in texts]
        if not self._told and self.replaced:
            self._told = True
            _log.warning("%s was replaced on disk; answers still use the opened version.", self.bundle.folder)
        found = [] if failures is None else failures
        before = len(found)
        seen: list[ImageRows] = []
        vectors = self._encoder.embed(texts, images, failures=failures, seen=seen)
        counts = np.zeros(len(texts), dtype=np.int64)
        if images is not None:
            counts += [min(len(few), self._encoder.max_images) for few in images]
            np.subtract.at(counts, [item for item, _ in found[before:]], 1)
        described = Described(texts, vectors, ImageRows.join(seen))
        if asked is not None:
            asked.append(described)
        how: Any = {"exclude": exclude, "imageless": counts == 0}
        deep = max(k, LEAD) if among is None and k > 0 else k  # a probability asks for the next labels' scores too
        scores, rows = self._rank(described, deep, among=among, **how)
        whole = (scores, rows) if among is None else self._rank(described, _CALIBRATED, among=None, **how)
        likely = self._probabilities(rows, *whole)
        ranked = Ranked(vectors, scores[:, :k], rows[:, :k], None if likely is None else likely[:, :k])
        return ranked if selection is None else selection.of(ranked, self.calibration)

    def _probabilities(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], ranked: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Return the probabilities of labels [n, k] by their places among all labels; NaN for one too far down."""
        calibration = self.calibration
        if not isinstance(calibration, Calibration):
            return None
        found = calibration.probabilities(scores, ranked, self._frequencies)
        if rows is ranked:
            return found
        same = (rows[:, :, None] == ranked[:, None, :]) & (rows >= 0)[:, :, None]
        at = np.take_along_axis(found, same.argmax(axis=2), axis=1)
        return np.where(same.any(axis=2), at, np.float32(np.nan))

    @cached_property
    def _frequencies(self) -> NDArray[np.int64]:
        """Training queries of each label; -1 for one that training did not see."""
        labels = self.labels
        return np.where(labels["trained_row"] < 0, -1, labels["frequency"]).astype(np.int64)

    def embed(
        self,
        texts: str | Sequence[str],
        images: Images | None = None,
        *,
        failures: list[tuple[int, str]] | None = None,
    ) -> NDArray[np.float32]:
        """Return unit vectors float32 [n, d]; the inner product of two is the model's similarity.

        Args:
            texts: n texts; a single string is one query.
            images: As in `predict`.
            failures: Called with (query, reason) for each unreadable image, which then counts as missing; None: raise.

        Raises:
            DataError: An image cannot be read, or the lists differ in length.
        """
        return self._encoder.embed(*as_lists(texts, images), failures=failures)

    def rank(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        exclude: sp.csr_matrix | None = None,
        among: NDArray[np.int64] | None = None,
        imageless: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Rank the labels of embedded queries; `search` embeds and ranks.

        A ranking with all evidence treats them as queries without text and images.

        Args:
            vectors: From `embed`, float32 [n, d].
            k: Number of labels.
            exclude: Pairs to leave out, CSR [n, L].
            among: Increasing rows of the only labels to search (then exactly); None for all.
            imageless: Queries without images, bool [n], to which `retrieval.imageless_prior` applies.

        Returns:
            Scores float32 [n, k], best first, and rows of `labels` int64 [n, k]; padded with -inf and -1.

        Raises:
            ConfigError: `k` is below 1.
        """
        return self._rank(Described([""] * len(vectors), vectors), k, exclude=exclude, among=among, imageless=imageless)

    def _rank(
        self,
        queries: Described,
        k: int,
        *,
        exclude: sp.csr_matrix | None,
        among: NDArray[np.int64] | None,
        imageless: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        k = whole_number(k)
        ranker: Any = self._ranker
        asked = queries if ranker.mode == "evidence" else queries.vectors
        if among is not None:
            ranker = restrict(ranker, self.bundle, among, device=str(self._encoder.model.device))
        found: tuple[NDArray[np.float32], NDArray[np.int64]] = ranker.search(
            asked, k, exclude=exclude, imageless=imageless
        )
        return found

    def named(
        self,
        scores: NDArray[np.float32],
        rows: NDArray[np.int64],
        probabilities: NDArray[np.float32] | None = None,
    ) -> list[Prediction]:
        """Return ranked labels with their ids and texts; see `Ranked` for the arrays."""
        given = [None] * len(rows) if probabilities is None else list(probabilities)
        return [self._prediction(*one) for one in zip(scores, rows, given, strict=True)]

    def explain(self, texts: str | Sequence[str], *, images: Images | None = None, k: int = 5) -> list[list[Neighbour]]:
        """Return the training queries nearest to each query, with their labels, as an explanation of predictions.

        Raises:
            StateError: The model was published without its training queries.
        """
        return self.neighbours(self.embed(texts, images), k)

    def shares(self, queries: Described, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return what each part of the ranking gave to labels: part -> float32 [n, k]; together they are the scores.

        Only a ranking with all evidence has parts; another one is a single comparison, and returns none.

        Args:
            queries: From `search`.
            rows: The labels that it found, int64 [n, k].
        """
        ranker: Any = self._ranker
        return ranker.shares(queries, rows) if ranker.mode == "evidence" else {}

    def neighbours(self, vectors: NDArray[np.float32], k: int) -> list[list[Neighbour]]:
        """Return the `k` training queries nearest to each embedded query [n, d]."""
        scores, rows = top_k(vectors, self.bundle.train_queries, k)
        return [
            [self._neighbour(float(score), int(row)) for score, row in zip(*pair, strict=True) if row >= 0]
            for pair in zip(scores, rows, strict=True)
        ]

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of labels by their ids, int64 [n]; -1 for unknown ids."""
        import pandas as pd

        unique, first = self._label_index
        found = unique.get_indexer(pd.Index(list(ids), dtype=object))
        rows = np.where(found < 0, -1, first[found]).astype(np.int64)
        if (unknown := np.flatnonzero(rows < 0)).size:  # 7.0 may mean 7
            rows[unknown] = self._label_meanings.rows([ids[int(i)] for i in unknown])
        return rows

    @cached_property
    def _label_meanings(self) -> IdIndex:
        unique, first = self._label_index
        return IdIndex(dict(zip(unique, first.tolist(), strict=True)))

    @cached_property
    def _label_index(self) -> tuple[pd.Index, NDArray[np.int64]]:
        import pandas as pd

        index = pd.Index(self.labels["uid"].astype(object))
        return index.drop_duplicates(), np.flatnonzero(~index.duplicated())

    @cached_property
    def _label_columns(self) -> tuple[list[str], list[str]]:
        return self.labels["uid"].tolist(), self.labels["text"].tolist()

    def _prediction(
        self, scores: NDArray[np.float32], rows: NDArray[np.int64], probabilities: NDArray[np.float32] | None
    ) -> Prediction:
        uids, texts = self._label_columns
        real = rows >= 0
        kept = rows[real].tolist()
        likely = None
        if probabilities is not None:
            likely = tuple(None if np.isnan(one) else float(one) for one in probabilities[real])
        named = tuple(uids[i] for i in kept), tuple(texts[i] for i in kept)
        return Prediction(*named, tuple(scores[real].tolist()), tuple(kept), likely)

    def _neighbour(self, score: float, row: int) -> Neighbour:
        uids, texts = self._label_columns
        item, relevance = self.bundle.train_items.iloc[row], self.bundle.train_relevance
        labels = relevance.indices[relevance.indptr[row] : relevance.indptr[row + 1]][:_NEIGHBOUR_LABELS].tolist()
        return Neighbour(
            str(item["uid"]), item["text"], score, tuple(uids[i] for i in labels), tuple(texts[i] for i in labels), row
        )
