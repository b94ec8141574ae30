"""A published predictor as a model folder of MLflow, complete in itself: `mlflow models serve` needs nothing else."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.core.storage import writing
from vixml.serving.bundle import PredictorBundle

_ARTEFACT = "predictor"  # as in pyfunc_model, which MLflow alone imports


def export_model(source: Path, target: Path, *, register: str | None = None) -> str | None:
    """Write a predictor as an MLflow model, and register it where a name is given.

    The folder holds a copy of the predictor, of this package's code and of the versions it needs.

    Args:
        source: A published predictor or a variant's folder of models.
        target: New folder of the MLflow model.
        register: Name in the model registry of the current tracking store.

    Returns:
        The registered version, if any.

    Raises:
        StateError: There is no complete predictor, or the target exists.
        StorageError: The disk is full; nothing is left of the folder.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it copies a folder
    import mlflow

    bundle = PredictorBundle.open(source)
    if target.exists():
        raise StateError("the folder exists already", file=target, remedy="name a new one.")
    settings = bundle.settings
    incoming = target.with_name(f".{target.name}.new")  # a kill leaves no half model under the name that was asked for
    with writing(target):
        shutil.rmtree(incoming, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"dataset": settings.dataset, "variant": settings.variant, "fingerprint": bundle.sealed.fingerprint}
    try:
        with writing(incoming):
            mlflow.pyfunc.save_model(
                path=str(incoming),
                python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                artifacts={_ARTEFACT: str(bundle.folder)},
                signature=model_signature(),
                input_example=input_example(),
                code_paths=[str(package_folder())],
                pip_requirements=requirements(),
                metadata=facts,
            )
            os.replace(incoming, target)
    except Exception:  # a full disk: what fills it is of no use to anybody
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    if register is None:
        return None
    return str(mlflow.register_model(target.resolve().as_uri(), register).version)


def model_signature() -> Any:
    """Return the signature: text and optional base64 images in; ids, texts, scores and probabilities out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    texts, numbers = Array(DataType.string), Array(DataType.double)
    outputs = {"label_ids": texts, "label_texts": texts, "scores": numbers, "probabilities": numbers}
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text"), ColSpec(texts, "images", required=False)]),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
        params=ParamSchema(
            [
                ParamSpec("k", DataType.long, 10),
                ParamSpec("min_probability", DataType.double, 0.0),
                ParamSpec("min_precision", DataType.double, 0.0),
                ParamSpec("max_labels", DataType.long, 0),
            ]
        ),
    )


def input_example() -> Any:
    """Return two queries, one with an image."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "crimson").save(buffer, "PNG")
    image = base64.b64encode(buffer.getvalue()).decode()
    return pd.DataFrame({"text": ["red ceramic vase", "desk lamp"], "images": [[image], []]})


def package_folder() -> Path:
    """Return the folder of this package's code."""
    spec = importlib.util.find_spec("vixml")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def requirements() -> list[str]:
    """Return what the package needs, without its extras, as pip reads it."""
    return [text for text in metadata.requires("vixml") or [] if "extra ==" not in text]
