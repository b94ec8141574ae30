"""Attention of short sequences and the fast dropout against torch's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.models.conftest import DECODERS, ENCODERS
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModel

from vixml.models.build import build_model, model_spec, save_model
from vixml.models.text.attention import LONGEST, LONGEST_IF_SLOW, NAME, attend, use_short_attention
from vixml.models.text.backbone import make_backbone
from vixml.models.text.dropout import Dropout, dropout, use_fast_dropout
from vixml.models.text.tokenizer import load_tokenizer
from vixml.params.model import BackboneParams, LoraParams, ModelParams

Folder = Callable[[str], Path]


def inputs(b: int, h: int, t: int, d: int) -> list[torch.Tensor]:
    """Query, key and value [b, h, t, d] as a layer hands them over: views of [b, t, h, d]."""
    generator = torch.Generator().manual_seed(t)
    made = [torch.randn(b, t, h, d, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [x.requires_grad_().transpose(1, 2) for x in made]


def masks(kind: str, b: int, t: int) -> torch.Tensor | None:
    lengths = torch.arange(b) % t + 1
    padding = (torch.arange(t) < lengths[:, None])[:, None, None, :]
    causal = torch.ones(t, t, dtype=torch.bool).tril()[None, None]
    return {"none": None, "padding": padding, "causal": causal, "both": padding & causal}[kind]


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "both"])
@pytest.mark.parametrize("t", [1, 3, 13, 16, 17, 40])
def test_equals_the_fused_kernel(t: int, kind: str) -> None:
    """Results and gradients of torch's attention, whatever the length and the mask."""
    mask, results = masks(kind, 5, t), []
    for function in (attend, scaled_dot_product_attention):
        leaves = inputs(5, 4, t, 8)
        name = "mask" if function is attend else "attn_mask"
        found = function(*leaves, **{name: mask}, scale=0.3)
        weights = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view(found.shape)
        results.append([found.detach(), *torch.autograd.grad((found * weights).sum(), leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("spread", "shift"), [(1, 0), (10, 0), (1, 100)])
@pytest.mark.parametrize("t", [13, 33])
def test_in_half_precision(t: int, spread: float, shift: float) -> None:
    """In bfloat16 it is as near to the exact result as torch's attention, also where scores are large or all are."""
    query, key, value = (x.detach().bfloat16() for x in inputs(20, 4, t, 16))
    key = (spread * key + shift * query.mean(dim=2, keepdim=True)).bfloat16()
    mask = masks("both", 20, t)
    expected = scaled_dot_product_attention(query.double(), key.double(), value.double(), attn_mask=mask)
    ours = attend(query, key, value, mask, scale=0.25)
    theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert ours.dtype == torch.bfloat16
    error, their_error = ((x - expected).square().mean().sqrt() for x in (ours, theirs))
    assert error < 1.2 * their_error


def test_values_of_another_width_and_no_items() -> None:
    """Values may be wider than queries, a batch may be empty."""
    query, key, _ = (x.detach() for x in inputs(3, 2, 5, 4))
    value = inputs(3, 2, 5, 7)[2].detach()
    expected = scaled_dot_product_attention(query, key, value, scale=0.3)
    torch.testing.assert_close(
        attend(query, key, value, None, scale=0.3), expected.to(value.dtype), atol=1e-6, rtol=1e-6
    )
    assert attend(query[:0], key[:0], value[:0], None, scale=0.3).shape == (0, 2, 5, 7)


def test_a_window_shorter_than_the_padding_under_autocast() -> None:
    """Queries among the padding see no key at all; what they get must not spoil the real positions."""
    from transformers import Gemma3TextConfig

    config = Gemma3TextConfig(**DECODERS["gemma3"][1] | {"sliding_window": 4})
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    mask = torch.arange(11) < torch.tensor([11, 4, 7])[:, None]
    words = torch.randn(3, 11, 32)
    found = []
    for change in (lambda _: None, use_short_attention):
        change(model)
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            hidden = model(inputs_embeds=words, attention_mask=mask).last_hidden_state
        found.append(hidden[mask].float())
    assert found[1].isfinite().all()
    assert model.config._attn_implementation == NAME
    torch.testing.assert_close(*found, atol=0.1, rtol=0.1)


def test_gradient_of_attention_with_dropout() -> None:
    """With the same mask drawn every time, gradients are those of finite differences."""

    def with_one_mask(*leaves: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return attend(*leaves, masks("padding", 2, 5), scale=0.5, dropout=0.3)

    assert torch.autograd.gradcheck(with_one_mask, inputs(2, 2, 5, 3))


def test_dropout_of_attention_drops_weights() -> None:
    """Values that are the identity show the weights: a share p of them is gone, the others are 1 / (1 - p) larger."""
    b, t, p = 200, 20, 0.25
    query, key = (x.detach() for x in inputs(b, 2, t, t)[:2])
    value = torch.eye(t, dtype=torch.float64).expand(b, 2, t, t)
    weights = attend(query, key, value, None, scale=0.1)
    torch.manual_seed(0)
    left = attend(query, key, value, None, scale=0.1, dropout=p)
    gone = left == 0
    assert abs(gone.double().mean() - p) < 0.005  # 160,000 weights: a standard deviation is 0.001
    torch.testing.assert_close(left[~gone], weights[~gone] / (1 - p))


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize("lora", [None, LoraParams(rank=2, alpha=2)])
def test_every_architecture_gives_what_it_gave(name: str, lora: LoraParams | None, backbone_folder: Folder) -> None:
    """Hidden states and the inputs' gradients are those of the model as transformers loads it."""
    folder = backbone_folder(name)
    family = "encoder" if name in ENCODERS else "decoder"
    params = BackboneParams(name=str(folder), family=family, max_length=24, lora=lora)
    ours = make_backbone(params, load_tokenizer(str(folder)), max_positions=24).eval()
    theirs = AutoModel.from_pretrained(folder).eval()
    used = ours.config._attn_implementation == NAME
    assert used == (theirs.config._attn_implementation == "sdpa")
    mask = torch.arange(11) < torch.tensor([11, 4, 7])[:, None]
    results = []
    for model in (ours, theirs):
        words = torch.randn(3, 11, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        width = words if name not in {"albert", "electra"} else words[..., :16]
        for given in (mask, None):
            places = torch.arange(11)[None]
            hidden = model(inputs_embeds=width, attention_mask=given, position_ids=places).last_hidden_state
            hidden = hidden if given is None else hidden[mask]
            results.append((hidden.detach(), torch.autograd.grad(hidden.square().sum(), words)[0]))
    for (hidden, gradient), (expected, expected_gradient) in zip(results[:2], results[2:], strict=True):
        torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("dropped", "bf16"), [(0.0, False), (0.5, False), (0.0, True)])
def test_what_is_long_goes_to_the_fused_kernel(dropped: float, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is another where that kernel is slow: with dropout, or in bfloat16."""
    from transformers import BertConfig

    import vixml.models.text.attention as module

    limit = LONGEST_IF_SLOW if dropped or bf16 else LONGEST
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=8, **size, attention_probs_dropout_prob=dropped)
    model = AutoModel.from_config(config).train()
    use_short_attention(model)
    seen: list[int] = []

    def spy(query: torch.Tensor, *rest: torch.Tensor, **options: float) -> torch.Tensor:
        seen.append(query.shape[2])
        return attend(query, *rest, **options)

    monkeypatch.setattr(module, "attend", spy)
    for length in (limit, limit + 1):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            model(inputs_embeds=torch.randn(1, length, 8))
    assert seen == [limit]


def test_dropout_is_dropout() -> None:
    """A share p is zero and the rest scaled, one seed gives one mask, and the gradient goes through what was kept."""
    values = torch.randn(1000, 101, requires_grad=True)
    torch.manual_seed(0)
    first = dropout(values, 0.1)
    torch.manual_seed(0)
    again = dropout(values, 0.1)
    kept = first != 0
    assert torch.equal(first, again)
    assert not torch.equal(kept, dropout(values, 0.1) != 0)
    assert abs(1 - kept.float().mean().item() - 0.1) < 0.005  # 101,000 numbers: a standard deviation is 0.001
    torch.testing.assert_close(first[kept], (values / 0.9)[kept], rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(first.sum(), values)
    torch.testing.assert_close(gradient, kept / 0.9, rtol=1e-5, atol=0)
    # each of the four numbers of a drawn word is dropped as often, and so is each place in a row
    assert (1 - kept.view(-1, 4).float().mean(dim=0) - 0.1).abs().max() < 0.01
    assert (1 - kept.float().mean(dim=0) - 0.1).abs().max() < 0.05


def test_dropout_at_its_ends() -> None:
    """Nothing is done at p = 0 or in evaluation mode, nothing is left at p = 1, no values are no error."""
    values = torch.ones(5, 3)
    assert torch.equal(dropout(values, 0.0), values)
    assert torch.equal(dropout(values, 1.0), torch.zeros(5, 3))
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)
    assert dropout(values.bfloat16(), 0.5).dtype == torch.bfloat16


def test_a_built_model_has_no_slow_dropout(backbone_folder: Folder, tmp_path: Path) -> None:
    """Backbone, adapters and combiner use it; what is saved names none of this, so that any version reads it."""
    folder = backbone_folder("bert")
    params = BackboneParams(name=str(folder), max_length=16, lora=LoraParams(rank=2, alpha=2, dropout=0.1))
    model = ModelParams(prototype={"num_heads": 4, "feedforward": 16})
    shape = {"image_dim": None, "num_labels": 5, "chunk_tokens": 64}
    tokenizer = load_tokenizer(str(folder))
    built = build_model(params, model, tokenizer=tokenizer, seed=0, **shape)
    kinds = {type(module) for module in built.modules() if isinstance(module, nn.Dropout)}
    assert kinds == {Dropout}
    spec = model_spec(params, model, **shape)
    save_model(built, tmp_path, spec=spec, tokenizer_folder=folder)
    assert NAME not in json.dumps([json.loads(file.read_text()) for file in tmp_path.glob("*.json")])


def test_layers_keep_their_mode() -> None:
    """A replaced layer trains or evaluates as the one before it."""
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.3)).eval())
    use_fast_dropout(model)
    assert [(m.p, m.training) for m in model.modules() if isinstance(m, Dropout)] == [(0.2, True), (0.3, False)]
