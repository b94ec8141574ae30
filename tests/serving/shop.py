"""A small shop with pictures and untrained models over it, published as predictors: seconds, and every file is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from PIL import Image

from vixml.core.directories import Built, SealedDirectory, WorkDirectory, publish
from vixml.models.build import build_model, model_spec, save_model
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.data.vision import VisionParams
from vixml.params.model import BackboneParams, ModelParams
from vixml.params.objective import LabelSideKind
from vixml.params.ranking import BlendParams, PartParams
from vixml.params.retrieval import RetrievalParams
from vixml.retrieval.exact import shorten, unit_rows
from vixml.retrieval.index import build_index
from vixml.serving.bundle import BundleSettings, PredictorBundle, build_bundle

COLOURS = ["red", "green", "blue", "yellow", "black", "white"]
THINGS = ["vase", "lamp", "chair", "shoe", "mug", "clock", "sofa", "coat"]
BACKBONE = BackboneParams(
    tiny={"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 200}
)
VISION = VisionParams(tiny_image_size=32, batch_size=4, device="cpu")
DIM = 16


def picture(file: Path, colour: str, number: int) -> None:
    image = Image.new("RGB", (40, 40), colour)
    image.paste("gray", (number % 20, 5, number % 20 + 12, 20))
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def items(root: Path, prefix: str) -> pd.DataFrame:
    rows = [(colour, thing) for thing in THINGS for colour in COLOURS]
    files = [f"images/{prefix}{n}.png" for n in range(len(rows))]
    for number, (colour, _) in enumerate(rows):
        picture(root / files[number], colour, number)
    return pd.DataFrame(
        {
            "uid": [f"{prefix}{n:03d}" for n in range(len(rows))],
            "text": [f"{colour} {thing} <{prefix}>" for colour, thing in rows],
            "images": [[file] if n % 5 else [] for n, file in enumerate(files)],
        }
    )


def make_predictor(
    root: Path,
    target: Path,
    variant: str,
    retrieval: RetrievalParams | None = None,
    *,
    backbone: BackboneParams = BACKBONE,
    label_side: LabelSideKind = "prototype",
    **changes: Any,
) -> SealedDirectory:
    """Publish an untrained model over the shop's 48 labels and 48 training queries as a predictor.

    `changes` are settings of `ModelParams`.
    """
    retrieval = retrieval or RetrievalParams()
    labels, train = items(root, "L"), items(root, "q")
    vision = VISION if variant.endswith("_vision") else None
    tokenizer = make_tokenizer(backbone, [*labels["text"], *train["text"]])
    work = WorkDirectory(target / f".{variant}")
    small = {"max_images": 2, "prototype": {"num_heads": 2, "feedforward": 16, "free_vectors": 48}}
    params = ModelParams.model_validate({**small, "use_images": vision is not None, **changes})
    image_dim = None
    if vision is not None:
        from vixml.images.vision import load_vision

        image_dim = load_vision(vision, 0).dim
    shape = {"image_dim": image_dim, "num_labels": len(labels), "chunk_tokens": 512, "label_side": label_side}
    model = build_model(backbone, params, tokenizer=tokenizer, seed=3, **shape).eval()
    folder = work.fresh("model")
    tokenizer.save_pretrained(str(work.path / "tokenizer"))
    save_model(model, folder, spec=model_spec(backbone, params, **shape), tokenizer_folder=work.path / "tokenizer")
    published = publish(Built(folder, "model", {}), work.path / "published" / "model")
    embeddings = _embeddings(published, vision, root, labels, train, work, backbone, retrieval.dim)
    folder = work.fresh("index")
    prototypes = np.load(embeddings.path / "label_prototypes.npy")
    build_index(prototypes, retrieval).save(folder)
    index = publish(Built(folder, "label-index", {}), work.path / "published" / "index")
    relevance = sp.csr_matrix(np.eye(len(labels), dtype=np.float32) + np.eye(len(labels), k=1, dtype=np.float32))
    evidence = None
    if retrieval.augmentation.mode == "evidence":
        evidence = _evidence(published, vision, root, labels, train, relevance, retrieval, embeddings, index, work)
    settings = BundleSettings(
        dataset="shop", variant=variant, retrieval=retrieval, max_images=2, vision=vision, image_root=str(root)
    )
    built = build_bundle(
        settings,
        model=published,
        embeddings=embeddings,
        index=index,
        items_label=labels,
        items_train=train,
        relevance_train=relevance,
        work=WorkDirectory(work.path / "bundle"),
        evidence=evidence,
    )
    return publish(built, target / variant / "predictor")


def _embeddings(model, vision, root, labels, train, work, backbone, dim) -> SealedDirectory:
    from vixml.models.build import open_model
    from vixml.serving.encoder import ItemEncoder

    dual, tokenizer = open_model(model.path)
    encoder = ItemEncoder(dual, tokenizer, backbone, vision=vision, max_images=2)

    def embed(table: pd.DataFrame, *, pooled: bool = False) -> np.ndarray:
        images = [[root / file for file in files] for files in table["images"]]
        return encoder.embed(table["text"].tolist(), images, pooled=pooled)

    folder = work.fresh("embeddings")
    pooled = embed(labels, pooled=True)
    with torch.inference_mode():
        prototypes = dual.prototypes(torch.from_numpy(pooled), torch.arange(len(labels))).numpy()
    np.save(folder / "label_texts.npy", shorten(unit_rows(pooled), dim))
    np.save(folder / "label_prototypes.npy", shorten(prototypes, dim))
    np.save(folder / "train_queries.npy", shorten(embed(train), dim).astype(np.float16))
    return publish(Built(folder, "embeddings", {}), work.path / "published" / "embeddings")


def _evidence(model, vision, root, labels, train, relevance, retrieval, embeddings, index, work) -> SealedDirectory:
    """Fit a ranking with all evidence; every third training query is a validation query too."""
    from vixml.models.build import open_model
    from vixml.ranking.features import Described, ImageRows
    from vixml.ranking.fit_evidence import Labelled, _with_classifiers, fit_evidence
    from vixml.ranking.store import save_evidence
    from vixml.retrieval.augmentation import open_ranker
    from vixml.serving.encoder import ItemEncoder

    dual, tokenizer = open_model(model.path)
    encoder, seen = ItemEncoder(dual, tokenizer, BACKBONE, vision=vision, max_images=2), []
    encoder.embed(train["text"].tolist(), [[root / file for file in files] for files in train["images"]], seen=seen)
    vectors = np.load(embeddings.path / "train_queries.npy")
    none = sp.csr_matrix(relevance.shape, dtype=np.float32)
    queries = Labelled(Described(train["text"].tolist(), vectors, ImageRows.join(seen)), relevance, none)
    plain = open_ranker(index.path, embeddings.path, retrieval.augmentation)
    ranker, _ = fit_evidence(
        queries,
        queries.take(np.arange(0, len(train), 3)),
        label_texts=labels["text"].tolist(),
        weights=np.ones(len(labels)),
        params=retrieval.augmentation.evidence,
        prototypes=plain.labels,
        texts=plain.texts,
        calibration=retrieval.calibration,
    )
    # every part is to be used here, whatever it is worth
    ranker = _with_classifiers(ranker, retrieval.augmentation.evidence, None)
    parts = {name: PartParams(weight=1.0) for name in ranker.available}
    folder = work.fresh("evidence")
    save_evidence(ranker.tuned(params=BlendParams(parts=parts)), folder)
    return publish(Built(folder, "evidence", {"mode": "evidence"}), work.path / "published" / "evidence")


__all__ = ["PredictorBundle", "make_predictor", "picture"]
