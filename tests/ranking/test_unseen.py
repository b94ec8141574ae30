"""Rankings by weights that were fitted on the other half of the queries, on the scale of the final scores."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.params.ranking import BlendParams, PartParams
from vixml.ranking.blend import Evidence, blend
from vixml.ranking.unseen import same_scale, unseen_ranking
from vixml.retrieval.augmentation import sparse_top_k


def _world():
    rng = np.random.default_rng(0)
    parts = {name: Evidence(sp.csr_matrix(rng.random((10, 20)).astype(np.float32))) for name in ("one", "other")}
    weights = [
        BlendParams(parts={"one": PartParams(weight=one), "other": PartParams(weight=other)})
        for one, other in ((1.0, 1.0), (1.0, 0.1), (30.0, 60.0))
    ]
    return parts, *weights, np.ones(20), sp.csr_matrix((10, 20), dtype=np.float32)


def test_each_query_is_ranked_by_the_weights_of_the_other_half():
    parts, final, first, second, weights, none = _world()
    scores, labels = unseen_ranking(parts, final, [first, second], weights, exclude=none, depth=5)
    for half, fitted in ((1, first), (0, second)):
        _, expected = sparse_top_k(blend(parts, fitted, weights), 5)
        np.testing.assert_array_equal(labels[half::2], expected[half::2])
    own, _ = sparse_top_k(blend(parts, final, weights), 5)
    for half in (0, 1):
        np.testing.assert_allclose(np.sort(scores[half::2], axis=None), np.sort(own[half::2], axis=None), rtol=1e-5)


def test_without_halves_it_is_the_final_ranking_and_excluded_pairs_are_gone():
    parts, final, *_, weights, none = _world()
    scores, labels = unseen_ranking(parts, final, [], weights, exclude=none, depth=5)
    expected = sparse_top_k(blend(parts, final, weights), 5)
    np.testing.assert_array_equal(labels, expected[1])
    np.testing.assert_array_equal(scores, expected[0])
    taken = sp.csr_matrix((np.ones(10, np.float32), (np.arange(10), labels[:, 0])), shape=(10, 20))
    _, rest = unseen_ranking(parts, final, [], weights, exclude=taken, depth=5)
    np.testing.assert_array_equal(rest[:, :4], labels[:, 1:])


def test_a_scale_keeps_order_and_padding():
    scores = np.array([[9, 4, 1], [16, 2, -np.inf]], dtype=np.float32)
    others = np.array([[0.9, 0.4, 0.1], [0.6, 0.2, -np.inf]], dtype=np.float32)
    mapped = same_scale(scores, others)
    np.testing.assert_array_equal(np.isfinite(mapped), np.isfinite(scores))
    np.testing.assert_array_equal(np.argsort(mapped, axis=None), np.argsort(scores, axis=None))
    np.testing.assert_allclose(np.sort(mapped[np.isfinite(mapped)]), [0.1, 0.2, 0.4, 0.6, 0.9])
    nothing = np.full((2, 3), -np.inf, dtype=np.float32)
    np.testing.assert_array_equal(same_scale(nothing, others), nothing)
