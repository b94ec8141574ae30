"""The shared network: text and frozen image vectors of an item in, one embedding out (ViXML, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vixml.core.errors import StateError
from vixml.models.sequence import ItemBatch, Layout, chunks_by_length, decoder_layout, encoder_layout, padded_index

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Embedder(nn.Module):
    """Backbone, one linear layer from the image width to the word-embedding width, and pooling.

    A batch is cut into chunks of similar sequence length, so hardly any padding is computed, and an item's embedding
    does not depend on what else is in the batch.

    Args:
        backbone: A transformers encoder or decoder.
        image_dim: Width of the frozen image vectors; None for a text-only network.
        image_slots: Most images of an item.
        family: `encoder` (images first, no prompt) or `decoder` (prompt, images after the text).
        pooling: `mean` over all positions, or the `last`.
        prompt_ids: Token ids of the decoder's text prompt, image prompt and end.
        chunk_tokens: Most padded positions that go through the backbone at once.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        *,
        image_dim: int | None,
        image_slots: int = 3,
        family: str = "encoder",
        pooling: str = "mean",
        prompt_ids: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((), (), ()),
        chunk_tokens: int = 8192,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = int(backbone.config.hidden_size)
        self.image_slots, self.family, self.pooling = image_slots, family, pooling
        self.prompt_ids, self.chunk_tokens = prompt_ids, chunk_tokens
        self.projection = None if image_dim is None else nn.Linear(image_dim, self.dim)
        # RoBERTa-like encoders count positions from padding_idx + 1.
        self._first_position = _first_position(backbone)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    def layout(self, batch: ItemBatch) -> Layout:
        """Lay out the batch's sequences."""
        if self.projection is None and batch.images is not None:
            batch = ItemBatch(batch.tokens)
        if self.family == "encoder":
            return encoder_layout(batch, image_slots=self.image_slots)
        text, image, end = self.prompt_ids
        return decoder_layout(batch, text_prompt=text, image_prompt=image, end=end)

    def forward(self, batch: ItemBatch) -> Tensor:
        """Embed items.

        Args:
            batch: n items.

        Returns:
            Pooled embeddings float32 [n, d], before normalisation.
        """
        layout = self.layout(batch)
        flat = self._input_embeddings(batch, layout)
        order, pooled = [], []
        for rows in chunks_by_length(np.diff(layout.offsets), max_tokens=self.chunk_tokens):
            pooled.append(self._encode_chunk(flat, layout, rows))
            order.append(rows)
        # Undo the sorting: row i of the result is item i.
        inverse = np.empty(len(batch), dtype=np.int64)
        inverse[np.concatenate(order)] = np.arange(len(batch))
        return torch.cat(pooled).index_select(0, torch.from_numpy(inverse).to(self.device))

    def _input_embeddings(self, batch: ItemBatch, layout: Layout) -> Tensor:
        """Word embeddings with the projected images put in their places [total, d]."""
        device = self.device
        flat = self.backbone.get_input_embeddings()(torch.from_numpy(layout.token_ids).to(device))
        if self.projection is not None and batch.images is not None and len(layout.image_at):
            if batch.images.shape[-1] != self.projection.in_features:
                raise StateError(
                    "the image vectors are of another width than the model was trained on",
                    found=f"{batch.images.shape[-1]} numbers an image",
                    expected=f"{self.projection.in_features}",
                    remedy="run image_embedding with the vision model of the training, or train the variant again.",
                )
            images = torch.from_numpy(np.ascontiguousarray(batch.images, dtype=np.float32)).to(device)
            at = torch.from_numpy(layout.image_at).to(device)
            flat = flat.index_copy(0, at, self.projection(images).to(flat.dtype))
        return flat

    def _encode_chunk(self, flat: Tensor, layout: Layout, rows: np.ndarray) -> Tensor:
        index, mask = padded_index(layout.offsets, rows)
        device = flat.device
        positions = torch.from_numpy(layout.positions[index] + self._first_position).to(device)
        inputs = flat[torch.from_numpy(index).to(device)]
        attention = torch.from_numpy(mask).to(device)
        hidden = self.backbone(
            inputs_embeds=inputs,
            attention_mask=None if mask.all() else attention,
            position_ids=positions,
        ).last_hidden_state.float()
        if self.pooling == "last":
            last = torch.from_numpy(mask.sum(axis=1) - 1).to(device)
            return hidden[torch.arange(len(rows), device=device), last]
        weights = attention.to(hidden.dtype)
        return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)


def _first_position(backbone: PreTrainedModel) -> int:
    embeddings = getattr(backbone, "embeddings", None)
    if getattr(backbone.config, "model_type", "") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
        return int(getattr(embeddings, "padding_idx", 0)) + 1
    return 0
