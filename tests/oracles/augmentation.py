"""Blended rankings by dense arithmetic, one query at a time."""

import math


def blended_scores(query, labels, train_queries, relevance, *, mode, depth, temperature, query_weight):
    """Score of every label for one query: plain loops over lists of floats."""

    def dot(a, b):
        return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))

    def best(entries, count):
        return sorted(entries, key=lambda entry: -entry[0])[:count]

    near_labels = best([(dot(query, v), "label", i) for i, v in enumerate(labels)], depth if mode == "split" else None)
    near_queries = best(
        [(dot(query, v), "query", i) for i, v in enumerate(train_queries)], depth if mode == "split" else None
    )
    chosen = near_labels + near_queries
    if mode == "joint":
        chosen = best(chosen, 2 * depth)
    total = sum(math.exp(s / temperature) for s, _, _ in chosen)
    scores = [0.0] * len(labels)
    for similarity, what, i in chosen:
        probability = math.exp(similarity / temperature) / total
        if what == "label":
            scores[i] += (1 - query_weight) * probability
        else:
            for label in range(len(labels)):
                if relevance[i][label]:
                    scores[label] += query_weight * probability
    return scores
