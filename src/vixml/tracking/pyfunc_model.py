"""The MLflow model: a published predictor behind MLflow's `predict`.

This file is the model's code ("models from code"): MLflow runs it when the model is opened, nothing is pickled.
`vixml.tracking.export` writes the model's folder.
"""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

ARTEFACT = "predictor"
"""Name of the predictor's folder among the model's artefacts."""
_SELECTION = ("min_probability", "min_precision", "max_labels")


class PredictorModel(PythonModel):  # type: ignore[misc]
    """Answers a data frame of queries.

    Input columns: `text`, and optionally `images`: a list of base64-encoded image files. Output columns, a row a query:
    `label_ids`, `label_texts`, `scores` and `probabilities`, lists of equal length, best first; a probability that the
    model does not know is null. Parameters: `k`, labels ranked; `min_probability`, `min_precision` and `max_labels`,
    which of them are given (0: all).
    """

    def load_context(self, context: Any) -> None:
        """Open the predictor in the model's folder."""
        from vixml import Predictor

        self._predictor = Predictor.open(context.artifacts[ARTEFACT])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the best labels of every query."""
        images = None
        if "images" in model_input:
            images = [[base64.b64decode(text) for text in _entries(cell)] for cell in model_input["images"]]
        given = params or {}
        chosen = {name: value for name in _SELECTION if (value := given.get(name))}
        texts = model_input["text"].tolist()
        found = self._predictor.predict(texts, images=images, k=int(given.get("k", 10)), **chosen)
        return pd.DataFrame(
            {
                "label_ids": [list(one.label_ids) for one in found],
                "label_texts": [list(one.texts) for one in found],
                "scores": [list(one.scores) for one in found],
                "probabilities": [list(one.probabilities or [None] * len(one)) for one in found],
            }
        )


def _entries(cell: Any) -> list[str]:
    if cell is None or isinstance(cell, float):
        return []
    return [cell] if isinstance(cell, str) else list(cell)


set_model(PredictorModel())
