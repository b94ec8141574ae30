"""A question to a model, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vixml.calibration.calibration import Absent
from vixml.core.errors import DataError
from vixml.serving.answers import Neighbour, Prediction, Selection
from vixml.serving.explanation import Reason, reasons
from vixml.serving.web.limits import MAX_IMAGE_BYTES, MAX_IMAGES
from vixml.serving.web.pictures import (
    Roots,
    check_image,
    image_bytes,
    root_of,
    unreadable,
)

if TYPE_CHECKING:
    import pandas as pd

    from vixml.ranking.features import Described
    from vixml.serving.predictor import Predictor

_NEIGHBOURS = 5  # that an explanation shows, unless another number is asked for


class Question(BaseModel):
    """A query to a model."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=20_000)
    images: list[str] = Field(default_factory=list, max_length=MAX_IMAGES)  # base64
    model: str | None = Field(None, max_length=1000)
    k: int = Field(10, ge=1, le=100)
    neighbours: int = Field(0, ge=0, le=20)
    explain: bool = False
    min_probability: float | None = Field(None, ge=0, le=1)
    min_precision: float | None = Field(None, ge=0, le=1)
    max_labels: int | None = Field(None, ge=1)


def describe(name: str, predictor: Predictor) -> dict[str, Any]:
    """Return what the page says of a model."""
    calibration = predictor.calibration
    return {
        "name": name,
        "dataset": predictor.bundle.settings.dataset,
        "labels": predictor.num_labels,
        "uses_images": predictor.uses_images,
        "prior": predictor.bundle.settings.retrieval.imageless_prior > 0,
        "explains": predictor.explains,
        "no_probabilities": calibration.absent if isinstance(calibration, Absent) else None,
        "max_images": MAX_IMAGES,
        "max_image_bytes": MAX_IMAGE_BYTES,
    }


def answer(predictor: Predictor, question: Question, roots: Roots, notice: str | None = None) -> dict[str, Any]:
    """Answer one query: labels best first, and the nearest training queries where they are asked for.

    Args:
        predictor: The model.
        question: The query.
        roots: Folders of pictures, which are shown where they are known.
        notice: What the client should know of the model.

    Raises:
        DataError: Neither text nor image, or an image that cannot be read.
        ConfigError: Probabilities are asked for, and the model has none or keeps no such precision.
    """
    images = [image_bytes(text) for text in question.images]
    if not question.text.strip() and not images:
        raise DataError("the query is empty", remedy="type a text or add an image.")
    for image in images[predictor.images_used :]:  # the others are decoded once
        check_image(image)
    failures: list[tuple[int, str]] = []
    selection = Selection(question.min_probability, question.min_precision, question.max_labels)
    threshold = selection.threshold(predictor.calibration)
    asked: list[Described] = []
    found = predictor.search([question.text], [images], question.k, failures=failures, selection=selection, asked=asked)
    for _, reason in failures:
        raise unreadable(reason)
    (prediction,) = predictor.named(*found[1:])
    wanted = question.neighbours or (_NEIGHBOURS if question.explain else 0)
    near = predictor.neighbours(found.vectors, wanted)[0] if wanted and predictor.explains else []
    why: list[Reason] = []
    if question.explain:
        seen = predictor.uses_images and images and question.text.strip()
        rows = np.array(prediction.rows, dtype=np.int64)
        why = reasons(predictor, asked[0], rows, near, text_alone=question.text if seen else None)
    return {
        "labels": _labels(prediction, why, predictor.labels["images"], roots),
        "neighbours": _neighbours(near, predictor.bundle.train_items["images"], roots),
        "uses_images": predictor.uses_images,
        "threshold": None if threshold is None else threshold.facts(),
        **({} if notice is None else {"notice": notice}),
    }


def _labels(prediction: Prediction, why: Sequence[Reason], files: pd.Series, roots: Roots) -> list[dict[str, Any]]:
    """Return the labels as the page shows them.

    Args:
        prediction: Labels of one query.
        why: What speaks for each of them; empty where nobody asked.
        files: Pictures of each label of the model.
        roots: Folders of pictures.
    """
    likely = prediction.probabilities or [None] * len(prediction)
    labels = zip(prediction.label_ids, prediction.texts, prediction.scores, likely, prediction.rows, strict=True)
    return [
        {
            "rank": rank,
            "label_id": uid,
            "text": text,
            "score": score,
            "probability": probability,
            "row": row,
            "picture": root_of(roots, files[row]) is not None,
            **({"why": why[rank - 1].facts()} if why else {}),
        }
        for rank, (uid, text, score, probability, row) in enumerate(labels, start=1)
    ]


def _neighbours(near: Sequence[Neighbour], files: pd.Series, roots: Roots) -> list[dict[str, Any]]:
    """Return the nearest training queries as the page shows them; `files`: pictures of each training query."""
    return [
        {
            "query_id": one.query_id,
            "text": one.text,
            "similarity": one.similarity,
            "labels": list(one.label_texts),
            "row": one.row,
            "picture": root_of(roots, files.iloc[one.row]) is not None,
        }
        for one in near
    ]
