"""Trainings of seconds, one for each part of the method; run by one process, or by several ranks as a program."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from vixml.distributed import group
from vixml.distributed.rank import joined
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.label_side import make_label_side
from vixml.params.variant import VariantParams
from vixml.training import encode
from vixml.training.encode import validate
from vixml.training.refresh import refresh_exactly
from vixml.training.step import training_step
from vixml.training.training_data import Validation

CASES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "prime": {},
    "dexa": {"objective": {"name": "dexa"}},
    "ngame": {"objective": {"name": "ngame"}},
    "decoupled_softmax": {"objective": {"name": "decoupled_softmax"}},
    "infonce": {"objective": {"name": "infonce"}},
    "late_fusion": {"model": {"fusion": "late", "late": {"num_heads": 2, "feedforward": 16}}},
    "image_residual": {"model": {"image_residual": 0.5}},
    "image_weight": {"model": {"image_weight": 3.0}},
    "image_dropout": {"model": {"image_dropout": 0.4}},
    "matryoshka": {"model": {"matryoshka": [8]}},
    "mined_labels": {"batching": {"mined_per_query": 2, "mined_labels": 4, "mine_every": 1}},
    "gradient_cache": {"batching": {"gradient_cache": True}},
    "fewer_chunks_than_ranks": {"batching": {"chunk_tokens": 100_000, "batch_size": 5}},
    "odd_batches": {"batching": {"batch_size": 11}},
    "clipped": {"optim": {"clip_norm": 0.05}},
    "soft_labels": {"objective": {"distillation": {"weight": 0.5, "drawn_per_query": 2}}},
    "lora": {},
    "divided_loss": {"model": {"matryoshka": [8]}, "objective": {"distillation": {"weight": 0.5}}},
}
"""Name -> settings that differ from those of the tiny training."""

OF_THREE = (
    "prime",
    "late_fusion",
    "mined_labels",
    "gradient_cache",
    "fewer_chunks_than_ranks",
    "odd_batches",
    "lora",
    "divided_loss",
)
"""What three ranks train too."""


def run(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Train one case through both stages; return everything that N processes must share with one."""
    encode._LEAST = 4  # blocks for all ranks
    training_step.DIVIDED_FROM = 2 if name == "divided_loss" else 4096
    tiny = _tiny()
    params = _with({**CASES[name]}, tiny.PARAMS)
    soft = None
    if name in ("soft_labels", "divided_loss"):
        soft = sp.csr_matrix(sp.random(50, 20, density=0.2, format="csr", random_state=4, dtype=np.float32))
    trainer = tiny.tiny_trainer(folder / "work", params=params, soft_labels=soft, model=_model(name, params))
    held_out = sp.csr_matrix(trainer.data.relevance[:9])
    none = sp.csr_matrix(held_out.shape, dtype=np.float32)
    asked = replace(trainer.data.queries, **_first(trainer.data.queries, 9))
    losses: list[float] = []
    learn = trainer.step.learn
    trainer.step.learn = lambda state, rows: _noted(learn(state, rows), losses)
    trainer.fit(2, desc="warmup")
    exact = folder / "exact"
    exact.mkdir(parents=True, exist_ok=True)
    report = refresh_exactly(trainer.state.model, trainer.data, params, seed=7, folder=exact)
    trainer.fit(params.training.epochs, desc="hard")
    validation = Validation(asked, held_out, none, trainer.data.inverse_propensity)
    metrics = validate(trainer.state.model, trainer.data.labels, validation, precision="fp32")
    state = trainer.state
    assert state.clusters is not None
    return {
        "losses": np.array(losses),
        "clusters": np.concatenate(state.clusters),
        "mined": np.zeros(0) if state.mined is None else state.mined.labels,
        "monitored": np.zeros(0) if state.monitored is None else state.monitored,
        "report": np.array([report[key] for key in sorted(report)]),
        "metrics": np.array([metrics[key] for key in sorted(metrics)]),
        "bank": state.bank.float().numpy(),
        **{f"weight {key}": value.numpy() for key, value in state.model.state_dict().items()},
    }


def _noted(terms: dict[str, torch.Tensor], losses: list[float]) -> dict[str, torch.Tensor]:
    losses.append(float(terms["loss"]))
    return terms


def _first(source: Any, count: int) -> dict[str, Any]:
    rows = np.arange(count)
    return {"tokens": source.tokens.take(rows), "image_rows": source.image_rows.take(rows)}


def _with(changes: Mapping[str, Mapping[str, Any]], base: VariantParams) -> VariantParams:
    settings = base.model_dump()
    settings["batching"]["chunk_tokens"] = 64  # several chunks a step
    settings["model"]["prototype"] |= {"num_heads": 2, "feedforward": 16}
    return VariantParams(**{**settings, **{name: {**settings[name], **values} for name, values in changes.items()}})


def _model(name: str, params: VariantParams) -> DualModel:
    from transformers import AutoModel, BertConfig, Qwen2Config

    torch.manual_seed(3)
    size = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if name == "lora":
        from peft import LoraConfig, get_peft_model

        network = AutoModel.from_config(Qwen2Config(**size, intermediate_size=16, num_key_value_heads=2))
        lora = LoraConfig(r=4, lora_alpha=4, lora_dropout=0.1, target_modules=["q_proj", "up_proj"], bias="none")
        network = get_peft_model(network, lora)
    else:
        network = AutoModel.from_config(BertConfig(**size, intermediate_size=16))  # with dropout
    settings = params.model
    embedder = Embedder(
        network,
        image_dim=6,
        image_weight=settings.image_weight,
        late=settings.late if settings.fusion == "late" else None,
        image_residual=settings.image_residual,
        chunk_tokens=params.batching.chunk_tokens,
    )
    side = make_label_side(params.objective.label_side, 16, settings.prototype, num_labels=20)
    return DualModel(embedder, side)


def _tiny() -> Any:
    file = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_training", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(folder: Path, names: Sequence[str] = ()) -> None:
    """Run some or all cases as one of the ranks; the leader keeps the results."""
    with joined(folder):
        for name in names or (OF_THREE if group.num_ranks() == 3 else CASES):
            found = run(name, folder / name)
            if group.leads():
                np.savez(folder / f"{name}.npz", **found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
