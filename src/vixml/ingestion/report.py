"""The data report: what was ingested, as a plain JSON dictionary and as a small table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vixml.metrics.propensity import label_frequencies
from vixml.params.model import ModelParams

TAIL_POINTS = 5
"""A label with at most so many training points belongs to the tail."""


def build_report(
    *,
    items: Mapping[str, pd.DataFrame],
    relevance: Mapping[str, csr_matrix],
    filters: Mapping[str, csr_matrix],
    repairs: Mapping[str, int],
) -> dict[str, Any]:
    """Count what was ingested.

    Args:
        items: Items of the sides train, validation, test and label (columns uid, text, images).
        relevance: Ground truth of train, validation and test, (points, labels).
        filters: Filter pairs of the same sides.
        repairs: What ingestion repaired or left out, by name.

    Returns:
        JSON-serialisable: `sides` (points, texts, images), `labels_per_point`, `points_per_label`, `head_and_tail`
        (shares of all training pairs and of all labels), `filter_pairs`, `repairs`.
    """
    frequency = label_frequencies(relevance["train"])
    return {
        "sides": {side: _side(table) for side, table in items.items()},
        "labels_per_point": {side: _spread(np.diff(matrix.indptr)) for side, matrix in relevance.items()},
        "points_without_labels": {side: int((np.diff(m.indptr) == 0).sum()) for side, m in relevance.items()},
        "points_per_label": _spread(frequency),
        "head_and_tail": _head_and_tail(frequency),
        "filter_pairs": {
            side: {"pairs": int(m.nnz), "of_them_relevant": int(m.multiply(relevance[side] != 0).nnz)}
            for side, m in filters.items()
        },
        "repairs": dict(sorted(repairs.items())),
    }


def summary_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return the report's key figures, one row a side, for a preview.

    Args:
        report: Result of `build_report`.

    Returns:
        Columns side, items, words a text, labels a point, items with image [%], images an item.
    """
    rows = []
    for side, facts in report["sides"].items():
        labels = report["labels_per_point"].get(side)
        rows.append(
            {
                "side": side,
                "items": facts["items"],
                "words_per_text": round(facts["words"]["mean"], 2),
                "characters_per_text": round(facts["characters"]["mean"], 1),
                "labels_per_point": round(labels["mean"], 2) if labels else None,
                "items_with_image_percent": round(100 * facts["with_image_share"], 1),
                "images_per_item": round(facts["images_per_item"], 2),
            }
        )
    return pd.DataFrame(rows)


def images_that_are_not_there(report: Mapping[str, Any], model: ModelParams) -> str | None:
    """Say what is wrong where a model is to read more images of an item than any item has.

    Not where the catalogue merely has fewer than the default: ingestion must have left images out, or somebody have
    asked for more than the default.

    Args:
        report: Result of `build_report`; one of an earlier version, without `most_images`, passes.
        model: Settings of a variant.

    Returns:
        What was found, what was expected, and what to do; None where all is well.
    """
    most = max((side.get("most_images", model.max_images) for side in report["sides"].values()), default=0)
    left_out = report["repairs"].get("images_beyond_limit", 0)
    default = ModelParams.model_fields["max_images"].default
    if not model.uses_images or model.max_images <= most or not (left_out or model.max_images > default):
        return None
    reason = f"ingestion left {left_out:,} images out" if left_out else "the files that ingestion read name no more"
    return (
        f"model.max_images is {model.max_images}, but no item has more than {most} image(s): {reason}. For "
        f"{model.max_images}, run `kedro run --pipelines=ingestion,image_embedding` again with "
        f"data.max_images_per_item={model.max_images} (before it `image_download`, where images come from addresses)"
        + ("" if left_out else " on files with more images (pre-computed embeddings hold as many as were computed)")
        + f"; or set model.max_images to {most}."
    )


def _side(table: pd.DataFrame) -> dict[str, Any]:
    num_images = np.array([len(files) for files in table["images"]], dtype=np.int64)
    texts = table["text"].tolist()
    return {
        "items": len(table),
        "characters": _spread(np.array([len(text) for text in texts], dtype=np.int64)),
        "words": _spread(np.array([text.count(" ") + 1 for text in texts], dtype=np.int64)),
        "with_image": int((num_images > 0).sum()),
        "with_image_share": _share((num_images > 0).sum(), len(table)),
        "images": int(num_images.sum()),
        "images_per_item": _share(num_images.sum(), len(table)),
        "most_images": int(num_images.max(initial=0)),
        "unique_image_files": len({file for files in table["images"] for file in files}),
    }


def _spread(values: NDArray[np.integer]) -> dict[str, float]:
    """Return mean, median, 95th percentile, minimum and maximum; zeros for no value."""
    if not len(values):
        return dict.fromkeys(("mean", "median", "p95", "min", "max"), 0.0)
    middle, high = np.quantile(values, [0.5, 0.95])
    return {
        "mean": float(values.mean()),
        "median": float(middle),
        "p95": float(high),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def _head_and_tail(frequency: NDArray[np.integer]) -> dict[str, float]:
    descending, total = np.sort(frequency)[::-1], int(frequency.sum())
    num_labels = len(descending)
    tail = frequency <= TAIL_POINTS
    return {
        "top_1_percent_share_of_pairs": _share(descending[: max(1, num_labels // 100)].sum(), total),
        "top_10_percent_share_of_pairs": _share(descending[: max(1, num_labels // 10)].sum(), total),
        "tail_points": TAIL_POINTS,
        "tail_share_of_labels": _share(tail.sum(), num_labels),
        "tail_share_of_pairs": _share(frequency[tail].sum(), total),
        "labels_without_training_point": int((frequency == 0).sum()),
    }


def _share(part: int | np.integer, whole: int) -> float:
    return float(part) / whole if whole else 0.0
