"""Text backbones: pretrained folders, LoRA, too few positions, and what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vixml.core.errors import ConfigError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.data.tokens import tokenise
from vixml.models.build import build_model, model_spec, open_model, save_model
from vixml.models.item_batch import ItemBatch
from vixml.models.text.backbone import make_backbone
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams, ModelParams

TEXTS = ["red ceramic vase", "blue Größe lamp", "a wooden chair", "vase of glass", "日本 lamp"] * 4

PROTOTYPE = {"num_heads": 2, "feedforward": 16}


def _images() -> ItemBatch:
    tokens = RaggedArray(np.array([5, 6, 7, 8]), offsets_of(np.array([3, 1])))
    return ItemBatch(tokens, np.ones((2, 6), np.float32), np.array([2, 0]))


def test_pretrained_folder_and_its_tokenizer(shared_dir: Path) -> None:
    """Real weights load from a folder; equal texts have equal embeddings whatever their case."""
    backbone = BackboneParams(name=str(shared_dir / "models" / "minilm-l6"))
    tokenizer = make_tokenizer(backbone, [])
    model = build_model(
        backbone, ModelParams(), tokenizer=tokenizer, image_dim=None, num_labels=3, chunk_tokens=256, seed=0
    ).eval()
    ids = tokenise(["red vase", "Red Vase", "stock market"], tokenizer, max_length=32, special_tokens=True)
    with torch.no_grad():
        first, second, other = model.embed(ItemBatch(ids))
    assert torch.equal(first, second)
    assert float(first @ other) < 0.5


def test_lora_trains_adapters_only_and_reopens(tmp_path: Path, golden_dir: Path) -> None:
    """Under LoRA only adapters and the new parts train and are saved; a reopened model embeds the same."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    folder = golden_dir / "models" / "tiny-qwen2"
    backbone = BackboneParams(family="decoder", name=str(folder), lora={"rank": 4, "alpha": 4})
    settings = ModelParams(prototype=PROTOTYPE)
    vocabulary = {f"w{i}": i for i in range(119)} | {"<|endoftext|>": 119}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="w0")), eos_token="<|endoftext|>"
    )
    options = {"image_dim": 6, "num_labels": 5, "chunk_tokens": 256}
    model = build_model(backbone, settings, tokenizer=tokenizer, seed=0, **options)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    in_backbone = {name for name in trained if name.startswith("embedder.backbone")}
    assert in_backbone
    assert all("lora_" in name for name in in_backbone)
    before = {name: w.clone() for name, w in model.named_parameters()}
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.05)
    for _ in range(2):  # B starts at zero: A moves from the second step on
        model.embed(_images())[0, 0].backward()
        optimiser.step()
    moved = {name for name, w in model.named_parameters() if not torch.equal(w, before[name])}
    assert any("lora_A" in name for name in moved)
    assert moved <= trained
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "m").mkdir()
    save_model(
        model.eval(),
        tmp_path / "m",
        spec=model_spec(backbone, settings, **options),
        tokenizer_folder=tmp_path / "tokenizer",
    )
    again, _ = open_model(tmp_path / "m")
    assert not any("lora" in name or weight.requires_grad for name, weight in again.named_parameters()), "merged"
    with torch.no_grad():
        torch.testing.assert_close(model.embed(_images()), again.embed(_images()))


def test_lora_scaling_is_rank_stabilised(golden_dir: Path) -> None:
    """The update is scaled by alpha / sqrt(rank); its input is not widened to the adapter's type under autocast."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backbone = BackboneParams(
        family="decoder",
        name=str(golden_dir / "models" / "tiny-qwen2"),
        lora={"rank": 4, "alpha": 6, "targets": ["q_proj"]},
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    network = make_backbone(backbone, tokenizer, max_positions=40)
    scalings = {
        s
        for m in network.modules()
        if hasattr(m, "scaling") and isinstance(m.scaling, dict)
        for s in m.scaling.values()
    }
    assert scalings == {3.0}
    wrapped, adapter = (
        next(module for name, module in network.named_modules() if name.endswith(end))
        for end in ("q_proj", "A.default")
    )
    for weight in network.parameters():
        weight.data = weight.data if weight.requires_grad else weight.data.to(torch.bfloat16)  # as on a GPU
    seen: list[torch.dtype] = []
    for module in (wrapped, adapter):
        module.register_forward_pre_hook(lambda _, values: seen.append(values[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(inputs_embeds=torch.ones(1, 3, network.config.hidden_size, dtype=torch.bfloat16))
    assert seen == [torch.bfloat16, torch.bfloat16], "no cast on the way to the adapter"


@pytest.mark.parametrize(
    ("name", "message"),
    [("/no/such/folder", "does not exist"), ("nobody/no-such-model", "could not be loaded")],
)
def test_unknown_backbone_says_what_to_do(name: str, message: str) -> None:
    """A missing folder and an unreachable hub name end in one clear error, at once."""
    with pytest.raises(ConfigError, match=message):
        make_tokenizer(BackboneParams(name=name), TEXTS)


def test_too_few_positions(golden_dir: Path) -> None:
    """A text longer than the backbone's positions is refused before training."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    backbone = BackboneParams(name=str(golden_dir / "models" / "tiny-bert"))
    make_backbone(backbone, tokenizer, max_positions=64)
    with pytest.raises(ConfigError, match="too few positions"):
        make_backbone(backbone, tokenizer, max_positions=65)


def test_a_base_that_lora_does_not_train_arrives_in_half_precision(
    golden_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Already from the file, not after float32 was there; adapters and what is trained in full stay float32."""
    from transformers import AutoModel

    read, load = [], AutoModel.from_pretrained

    def loaded(*names: Any, **options: Any) -> Any:
        network = load(*names, **options)
        read.append({weight.dtype for weight in network.parameters()})
        return network

    monkeypatch.setattr(AutoModel, "from_pretrained", loaded)
    params = BackboneParams(
        family="decoder", name=str(golden_dir / "models" / "tiny-qwen2"), lora={"rank": 4, "alpha": 4}
    )
    whole = params.model_copy(update={"lora": None})
    adapted, trained = (
        make_backbone(one, range(100), max_positions=32, half=True)  # type: ignore[arg-type]
        for one in (params, whole)
    )
    assert read == [{torch.bfloat16}, {torch.float32}]
    for name, weight in adapted.named_parameters():
        assert weight.dtype == (torch.float32 if "lora_" in name else torch.bfloat16), name
    assert {weight.dtype for weight in trained.parameters()} == {torch.float32}
