"""PECOS' XR-Linear over its own TF-IDF of one and two words. Runs in an environment of its own, which has no ViXML.

Usage: python xr_linear.py FOLDER (what `benchmarks.peers.exchange` wrote there; `top.npy` and `facts.json` are added)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from pecos.utils.featurization.text.vectorizers import Vectorizer
from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel

WORDS = {
    "type": "tfidf",
    "kwargs": {"base_vect_configs": [{"ngram_range": [1, 2], "max_df_ratio": 0.98, "analyzer": "word"}]},
}


def main(folder: Path) -> None:
    """Train, rank the test queries, write what came out."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    texts = {side: json.loads((folder / f"{side}.json").read_text(encoding="utf-8")) for side in ("train", "test")}
    with np.load(folder / "train.npz", allow_pickle=False) as arrays:
        entries = np.ones(len(arrays["indices"]), dtype=np.float32)
        labels = sp.csr_matrix((entries, arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"]))
    started = time.perf_counter()
    words = Vectorizer.train(texts["train"], WORDS)
    features = words.predict(texts["train"]).astype(np.float32)
    chain = Indexer.gen(LabelEmbeddingFactory.create(labels, features, method="pifa"), seed=settings["seed"])
    model = XLinearModel.train(features, labels, C=chain, threads=settings["threads"])
    trained = time.perf_counter()
    found = model.predict(
        words.predict(texts["test"]).astype(np.float32),
        only_topk=settings["depth"],
        beam_size=max(20, settings["depth"]),
        threads=settings["threads"],
    ).tocsr()
    top = np.full((found.shape[0], settings["depth"]), -1, dtype=np.int64)
    for row in range(found.shape[0]):
        part = slice(found.indptr[row], found.indptr[row + 1])
        best = found.indices[part][np.argsort(-found.data[part], kind="stable")]
        top[row, : len(best)] = best
    np.save(folder / "top.npy", top, allow_pickle=False)
    facts = {"training_seconds": trained - started, "ranking_seconds": time.perf_counter() - trained}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
