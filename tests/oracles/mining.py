"""Hard negatives by loops over lists, one query and one label at a time."""

from itertools import pairwise

import numpy as np


def mined_labels(queries, prototypes, texts, relevance, *, count, similarity, query_similarity):
    """Ids and scores of each query's hard negatives: the nearest irrelevant labels, near-duplicates left out."""
    dense, found = relevance.toarray() > 0, []
    for row, query in enumerate(queries):
        scored = [
            (float(query @ prototypes[label]), label) for label in range(len(prototypes)) if not dense[row, label]
        ]
        looked_at = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[: 2 * count]
        kept = []
        for score, label in looked_at:
            relevant = [float(texts[label] @ texts[other]) for other in np.flatnonzero(dense[row])]
            if similarity is not None and relevant and max(relevant) >= similarity:
                continue
            if query_similarity is not None and score >= query_similarity:
                continue
            kept.append((label, score))
        found.append(kept[:count])
    return found


def neighbour_shares(clusters, relevance, previous):
    """Of the neighbours in a cluster: the shares with a label in common, and those that were apart before."""
    dense, pure, apart, pairs = relevance.toarray() > 0, 0, 0, 0
    for cluster in clusters:
        for left, right in pairwise(cluster):
            pairs += 1
            pure += bool((dense[left] & dense[right]).any())
            apart += not any(left in old and right in old for old in previous)
    return pure / pairs, apart / pairs
