"""A sentence-transformers model, fine-tuned on (query, label) pairs with mined hard negatives as documented.

Runs in an environment of its own, which has no ViXML. Labels are ranked by their texts.

Usage: python bi_encoder.py FOLDER (what `benchmarks.peers.exchange` wrote there; `top.npy` and `facts.json` are added)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from sentence_transformers.util import mine_hard_negatives

from datasets import Dataset


def main(folder: Path) -> None:
    """Fine-tune, rank the test queries, write what came out."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    texts = {
        side: json.loads((folder / f"{side}.json").read_text(encoding="utf-8")) for side in ("train", "test", "label")
    }
    with np.load(folder / "train.npz", allow_pickle=False) as arrays:
        indptr, indices = arrays["indptr"], arrays["indices"]
    torch.set_num_threads(settings["threads"])
    network = Transformer(settings["model"], max_seq_length=settings["max_length"])
    pooling = Pooling(network.get_embedding_dimension(), "mean")  # a folder need not say how its network pools
    model = SentenceTransformer(modules=[network, pooling, Normalize()], device=settings["device"])
    started = time.perf_counter()
    query = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    pairs = Dataset.from_dict(
        {"anchor": [texts["train"][row] for row in query], "positive": [texts["label"][one] for one in indices]}
    )
    mined = mine_hard_negatives(
        pairs,
        model,
        corpus=sorted(set(texts["label"])),
        num_negatives=1,
        range_min=10,
        range_max=50,
        sampling_strategy="random",
        batch_size=settings["batch_size"],
        verbose=False,
    )
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        warmup_ratio=0.1,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        report_to="none",
        seed=settings["seed"],
        use_cpu=settings["device"] == "cpu",
    )
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=mined, loss=loss).train()
    trained = time.perf_counter()
    queries, labels = (
        model.encode(texts[side], convert_to_tensor=True, normalize_embeddings=True) for side in ("test", "label")
    )
    depth = min(settings["depth"], len(labels))
    top = torch.cat([(part @ labels.T).topk(depth, dim=1).indices for part in queries.split(1024)])
    np.save(folder / "top.npy", top.cpu().numpy().astype(np.int64), allow_pickle=False)
    facts = {"training_seconds": trained - started, "ranking_seconds": time.perf_counter() - trained}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
