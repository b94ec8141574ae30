"""Late fusion, for comparison: images meet the text behind the backbone (MUFIN, Mittal et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LateFusion(nn.Module):
    """Self-attention over the embedding of the text and those of the images, then their mean.

    MUFIN embeds an item as the bag of its descriptors (one of the text, one an image), lets them attend to each other,
    and pools. That block is here, with one transformer layer. Left out is what MUFIN has beside it: the cross
    attention between query and label that its ranker scores pairs with (it cannot be searched by inner product), and
    the classifier of every label; PRIME's prototypes replace it, as with early fusion.

    Args:
        dim: Width d of text embeddings and projected images.
        num_heads: Attention heads; must divide d.
        feedforward: Width of the feed-forward layer.
        dropout: Dropout probability in training mode.
        image_weight: Weight of an item's images together in the mean, where the text has 1; None for 1 each.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        feedforward: int = 1024,
        dropout: float = 0.1,
        image_weight: float | None = None,
    ) -> None:
        super().__init__()
        self.image_weight = image_weight
        # Text and images come from different networks: equal scales first.
        self.text_norm, self.image_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.layer = nn.TransformerEncoderLayer(
            dim, num_heads, feedforward, dropout, activation="gelu", batch_first=True, norm_first=False
        )

    def forward(self, text: Tensor, images: Tensor, counts: Tensor) -> Tensor:
        """Fuse n items.

        Args:
            text: Pooled texts [n, d].
            images: Projected images [m, d], item after item.
            counts: Images of each item int64 [n], summing to m; an item without any is its text alone.

        Returns:
            Embeddings [n, d], before normalisation.
        """
        # nothing to attend to but the widest item's images: padded places are masked
        places = torch.arange(1 + int(counts.max()) if len(counts) else 1, device=text.device)
        present = places <= counts[:, None]
        sequence = text.new_zeros(len(text), len(places), text.shape[1])
        sequence[:, 0] = self.text_norm(text)
        is_image = present.clone()
        is_image[:, 0] = False
        sequence = sequence.masked_scatter(is_image[..., None], self.image_norm(images).to(sequence.dtype))
        hidden = self.layer(sequence, src_key_padding_mask=None if present.all() else ~present).float()
        weights = present.to(hidden.dtype)
        if self.image_weight is not None:
            each = self.image_weight / counts.clamp(min=1).to(hidden.dtype)
            weights = torch.where(is_image, each[:, None], weights)
        return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
