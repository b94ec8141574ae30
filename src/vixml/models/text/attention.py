"""Attention over the short sequences of titles on a CPU, where kernels made for long ones lose their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vixml.models.text.dropout import dropout as drop

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "vixml_short"
"""Name among transformers' attention functions."""

LONGEST, LONGEST_IF_SLOW = 32, 256
"""Longest sequences, in positions, that are attended to here: beyond, the blocks of torch's kernel pay off.

The second one counts where that kernel is slow at any length: it takes no dropout, and its backward pass in bfloat16 is
several times as slow as ours (benchmarks/attention.py). The limit is for memory then.
"""

MODEL_TYPES = frozenset(
    {
        "bert", "distilbert", "roberta", "xlm-roberta", "mpnet", "albert", "electra",
        "qwen2", "qwen3", "llama", "gemma3_text",
    }
)  # fmt: skip
"""Architectures that a test compares with torch's kernel. Others keep it: a few look at its name and would change."""

_FEWEST_KEYS = 16  # a softmax over fewer numbers than a vector register holds is calculated one by one


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float, dropout: float = 0.0
) -> Tensor:
    """Return softmax(scale * QK^T + mask) V as products of many small matrices, in float32 or better.

    The same as `torch.nn.functional.scaled_dot_product_attention` but for rounding, for the numbers that dropout draws,
    and for queries that see no key: they get a mean of all values here, which is as meaningless as torch's zero.

    Args:
        query: [b, h, t, d], any float type.
        key: [b, h, s, d].
        value: [b, h, s, e].
        mask: True where a query sees a key, bool [1 or b, 1 or h, 1 or t, s]; None for everywhere.
        scale: Factor of the similarities.
        dropout: Probability that a weight is dropped, 0 to 1.

    Returns:
        [b, h, t, e], of the values' type.
    """
    (b, h, t, d), s, width = query.shape, key.shape[2], value.shape[3]
    working = torch.promote_types(query.dtype, torch.float32)
    # In half precision so small products are hardly faster, and rounded scores would be off by whole per cents.
    with torch.autocast("cpu", enabled=False):
        query, key, upper = (_unfold(x, working) for x in (query, key, value))
        more = _FEWEST_KEYS - s
        if more > 0:
            key, upper = pad(key, (0, 0, 0, more)), pad(upper, (0, 0, 0, more))
            seen = torch.ones(1, 1, 1, s, dtype=torch.bool, device=key.device) if mask is None else mask
            mask, s = pad(seen, (0, more)), s + more
        queries, keys, values = query.view(b * h, t, d), key.view(b * h, s, d), upper.view(b * h, s, width)
        hidden = _hidden(mask, (b, h, t, s), queries)
        scores = torch.baddbmm(hidden, queries, keys.mT, beta=0 if mask is None else 1, alpha=scale)
        weights = drop(torch.softmax(scores, dim=-1), dropout)
        return torch.bmm(weights, values).view(b, h, t, width).to(value.dtype)


def _unfold(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the values as a contiguous tensor of a type, with one copy at most."""
    return values.to(dtype, memory_format=torch.contiguous_format).contiguous()


def _hidden(mask: Tensor | None, shape: tuple[int, int, int, int], like: Tensor) -> Tensor:
    """Return what is added to the similarities [b * h or 1, t or 1, s]: 0 where a key is seen, else the least one."""
    if mask is None:
        return like.new_empty(1, 1, 1)
    b, h, t, s = shape
    added = torch.zeros_like(mask, dtype=like.dtype).masked_fill_(~mask, torch.finfo(like.dtype).min)
    if mask.shape[0] == mask.shape[1] == 1:
        return added[0]
    return added.expand(b, h, t, s).reshape(b * h, t, s)


def use_short_attention(model: PreTrainedModel) -> None:
    """Let a transformers model attend to short sequences on a CPU with `attend`; all else goes where it went.

    Models of other types than `MODEL_TYPES`, or whose attention is not torch's fused one, stay as they are.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention_of_a_layer)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if model.config.model_type in MODEL_TYPES and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


def _attention_of_a_layer(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' `sdpa` does: query [b, h, t, d], key and value [b, g, s, d] to [b, t, h, d]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    extra = any(others.get(name) is not None for name in ("position_bias", "softcap", "cache", "s_aux"))
    plain = attention_mask is None or attention_mask.dtype == torch.bool
    longest = LONGEST_IF_SLOW if dropout or _in_half(value) else LONGEST
    short = query.shape[2] == key.shape[2] <= longest
    if query.device.type != "cpu" or not short or extra or not plain:
        return cast(
            "tuple[Tensor, None]",
            sdpa_attention_forward(
                module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **others
            ),
        )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and query.shape[2] > 1:
        t = query.shape[2]
        attention_mask = torch.ones(t, t, dtype=torch.bool).tril()[None, None]
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    found = attend(query, key, value, attention_mask, scale=scale, dropout=dropout)
    return found.transpose(1, 2).contiguous(), None


def _in_half(values: Tensor) -> bool:
    """Return whether torch's kernel would work in bfloat16; autocast may still have the tensors in float32."""
    return values.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
