"""A predictor as files that other tools read."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vixml.core.directories import read_json, write_json
from vixml.core.errors import StateError
from vixml.core.guards.untrusted import read_document
from vixml.core.storage import writing
from vixml.export.card import model_card
from vixml.export.onnx_encoder import write_onnx
from vixml.export.sentence_encoder import refuse_other_encoders, write_sentence_encoder
from vixml.export.vectors import write_indexes, write_table
from vixml.serving.bundle import PredictorBundle

if TYPE_CHECKING:
    from vixml.serving.encoder import ItemEncoder

_MEASURED = 1000
REPORT = "export.json"


def export_predictor(
    source: Path,
    target: Path,
    *,
    encoder: bool = True,
    indexes: bool = True,
    onnx: bool = False,
    metrics: Path | None = None,
) -> dict[str, Any]:
    """Write a predictor's text encoder and label vectors as files that other tools read.

    Args:
        source: A published predictor or a variant's folder of models.
        target: New folder.
        encoder: Write the text encoder for sentence-transformers.
        indexes: Write faiss indexes of the label vectors, with the recall that each keeps.
        onnx: Write the text encoder as ONNX too, checked against torch.
        metrics: The variant's `metrics.json`, for the model card.

    Returns:
        A report, which is in the folder too: `files`, `indexes`, `onnx`.

    Raises:
        StateError: There is no complete predictor, or the target exists.
        ConfigError: The encoder does not fit the format, or a library is not installed.
    """
    bundle = PredictorBundle.open(source)
    if target.exists():
        raise StateError("the folder exists already", file=target, remedy="name a new one.")
    network = bundle.encoder(device="cpu") if encoder or onnx else None
    if network is not None:
        refuse_other_encoders(network)
    incoming = target.with_name(f".{target.name}.new")
    with writing(target):
        shutil.rmtree(incoming, ignore_errors=True)  # of one that was killed
        incoming.mkdir(parents=True)
        try:
            report = _write(bundle, incoming, network if encoder else None, indexes, network if onnx else None, metrics)
            os.replace(incoming, target)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)  # on a full disk its room is wanted
            raise
    return report


def _write(
    bundle: PredictorBundle,
    folder: Path,
    encoder: ItemEncoder | None,
    indexes: bool,
    onnx: ItemEncoder | None,
    metrics: Path | None,
) -> dict[str, Any]:
    vectors = np.asarray(bundle.label_prototypes, dtype=np.float32)
    write_table(bundle.labels, vectors, folder / "labels.parquet")
    files = [("`labels.parquet`", "id, text, number of training queries and vector of every label")]
    report: dict[str, Any] = {"indexes": [], "onnx": None}
    if encoder is not None:
        write_sentence_encoder(encoder, folder / "encoder")
        files.append(("`encoder/`", "the text encoder: `SentenceTransformer('encoder').encode(texts)`"))
    if onnx is not None:
        report["onnx"] = write_onnx(onnx, folder / "encoder.onnx", bundle.labels["text"].head(8).tolist())
        files.append(("`encoder.onnx`", "the same for onnxruntime: input_ids and attention_mask in, unit vectors out"))
    if indexes:
        report["indexes"] = write_indexes(vectors, _queries(bundle), folder)
        files += [(f"`{one['file']}`", f"faiss index, {one['form']}") for one in report["indexes"]]
    (folder / "README.md").write_text(_card(bundle, files, report, metrics), encoding="utf-8")
    report["files"] = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    write_json(folder / REPORT, report)
    return report


def _queries(bundle: PredictorBundle) -> np.ndarray:
    """Return vectors to measure recall with: training queries where they were published, else the labels' texts."""
    some = bundle.train_queries if bundle.has_train_queries else bundle.label_texts
    rows = np.linspace(0, len(some) - 1, min(_MEASURED, len(some))).astype(np.int64)
    return np.asarray(some[rows], dtype=np.float32)


def _card(bundle: PredictorBundle, files: list[tuple[str, str]], report: dict[str, Any], metrics: Path | None) -> str:
    spec, settings = read_document(bundle.folder / "model" / "model.json"), bundle.settings
    document = None if metrics is None else read_json(metrics)
    facts = {
        "dataset": settings.dataset,
        "variant": settings.variant,
        "backbone": spec["backbone"]["name"],
        "max_length": spec["backbone"]["max_length"],
        "objective": document and document.get("objective"),
        "labels": len(bundle.labels),
        "dim": int(bundle.label_prototypes.shape[1]),
        "train_queries": len(bundle.train_queries) if bundle.has_train_queries else None,
        "ranking": settings.retrieval.augmentation.mode,
        "version": version("vixml"),
        "fingerprint": bundle.sealed.fingerprint[:16],
    }
    return model_card(facts, files=files, indexes=report["indexes"], metrics=document, calibration=bundle.calibration)
