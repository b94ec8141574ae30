"""The shared network: text and frozen image vectors of an item in, one embedding out (ViXML, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vixml.core.errors import ConfigError, StateError
from vixml.data.ragged import offsets_of, ragged_indices
from vixml.models.device import send
from vixml.models.item_batch import ItemBatch
from vixml.models.late import LateFusion
from vixml.models.projection import ImageResidual
from vixml.models.sequence import (
    Chunk,
    InputTemplate,
    PackedBatch,
    chunks_by_length,
    pack,
    padded_index,
    sequence_lengths,
)
from vixml.models.text.backbone import word_dim
from vixml.models.text.compatibility import first_position, is_causal, ready_masks
from vixml.params.model import LateFusionParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Embedder(nn.Module):
    """Backbone, one linear layer from the image width to the word-embedding width, and pooling.

    A batch is cut into chunks of similar sequence length, so hardly any padding is computed, and an item's embedding
    does not depend on what else is in the batch.

    Args:
        backbone: A transformers encoder or decoder.
        image_dim: Width of the frozen image vectors; None for a text-only network.
        template: Order and prompts of a sequence; images before the text and no prompts by default.
        pooling: `mean` over all positions, or the `last`.
        image_weight: Weight of an item's images together in the mean, where a word has 1; None for 1 each.
        late: Late fusion, if images are not to go through the backbone.
        image_residual: Initial length of what images add to the pooled embedding past the backbone; 0 for no such way.
        output_dim: Width of the embeddings, the first numbers of the pooled ones; None for all.
        chunk_tokens: Most padded positions that go through the backbone at once.
    """

    _READY_ON = frozenset({"cuda"})

    def __init__(
        self,
        backbone: PreTrainedModel,
        *,
        image_dim: int | None,
        template: InputTemplate | None = None,
        pooling: str = "mean",
        image_weight: float | None = None,
        late: LateFusionParams | None = None,
        image_residual: float = 0.0,
        output_dim: int | None = None,
        chunk_tokens: int = 8192,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        width = int(backbone.config.hidden_size)
        self.dim = width if output_dim is None else output_dim
        if self.dim > width:
            raise ConfigError(
                "model.output_dim is wider than the backbone", found=self.dim, expected=f"at most {width}, or null"
            )
        self.template, self.pooling, self.chunk_tokens = template or InputTemplate(), pooling, chunk_tokens
        into = word_dim(backbone) if late is None else width
        self.image_weight = image_weight
        self.projection = None if image_dim is None else nn.Linear(image_dim, into)
        self.late = None if late is None or image_dim is None else _late_fusion(width, late, image_weight)
        past = None if image_dim is None or not image_residual else ImageResidual(image_dim, width, gate=image_residual)
        self.residual = past
        self._first_position = first_position(backbone)
        self._causal = any(is_causal(module) for module in backbone.modules())
        self._ready_masks = ready_masks(backbone)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    def pack(self, batch: ItemBatch) -> PackedBatch:
        """Pack the batch's sequences."""
        return pack(self._in_sequence(batch), self.template)

    def lengths(self, batch: ItemBatch) -> np.ndarray:
        """Return the length of each item's sequence, int64 [n]."""
        return sequence_lengths(self._in_sequence(batch), self.template)

    def _in_sequence(self, batch: ItemBatch) -> ItemBatch:
        """Return what of the batch stands in its sequences: not the images that the network takes elsewhere, or not."""
        elsewhere = (self.projection is None or self.late is not None) and batch.images is not None
        return ItemBatch(batch.tokens) if elsewhere else batch

    def forward(self, batch: ItemBatch, chunks: Sequence[Chunk] | None = None) -> Tensor:
        """Embed items.

        Args:
            batch: n items.
            chunks: Which of them go through the backbone at once, each item once; None cuts the batch here. A chunk's
                seed is where torch's own generators start with it.

        Returns:
            Pooled embeddings float32 [n, d], before normalisation.
        """
        packed = self.pack(batch)
        flat, weights = self._input_embeddings(batch, packed), self._position_weights(batch, packed)
        if chunks is None:
            lengths = np.diff(packed.offsets)
            chunks = [Chunk(rows) for rows in chunks_by_length(lengths, max_tokens=self.chunk_tokens)]
        places = [padded_index(packed.offsets, chunk.rows) for chunk in chunks]
        late = None if self.late is None else self._late_images(batch)
        pooled = []
        inputs = self._gather(flat, [index for index, _ in places])
        for chunk, gathered, (index, mask) in zip(chunks, inputs, places, strict=True):
            if chunk.seed is not None:
                torch.manual_seed(chunk.seed)
            encoded = self._encode_chunk(gathered, packed, index, mask, weights)
            pooled.append(encoded if late is None else self._fuse_late(encoded, chunk, *late))
        # Undo the sorting: row i of the result is item i.
        inverse = np.empty(len(batch), dtype=np.int64)
        inverse[np.concatenate([chunk.rows for chunk in chunks])] = np.arange(len(batch))
        embeddings = torch.cat(pooled).index_select(0, send(inverse, self.device))
        if self.residual is not None and batch.images is not None and batch.image_counts is not None:
            embeddings = self.residual(embeddings, self._vectors(batch.images), send(batch.image_counts, self.device))
        return embeddings if self.dim == embeddings.shape[1] else embeddings[:, : self.dim]

    def _gather(self, flat: Tensor, places: list[np.ndarray]) -> Iterator[Tensor]:
        """Yield the rows of `flat` [total, d] at each chunk's places [b, t], as [b, t, d]."""
        if not torch.is_grad_enabled():
            yield from (flat[send(index, self.device)] for index in places)
            return
        # One gather for all chunks: each by itself would send back a gradient as large as all of `flat`.
        at = send(np.concatenate([index.ravel() for index in places]), self.device)
        gathered = flat.index_select(0, at).split([index.size for index in places])
        yield from (rows.view(*index.shape, -1) for rows, index in zip(gathered, places, strict=True))

    def _input_embeddings(self, batch: ItemBatch, packed: PackedBatch) -> Tensor:
        """Word embeddings with the projected images put in their places [total, d]."""
        flat = self.backbone.get_input_embeddings()(send(packed.token_ids, self.device))
        if batch.images is not None and len(packed.image_at):
            at = send(packed.image_at, self.device)
            flat = flat.index_copy(0, at, self._project(batch.images).to(flat.dtype))
        return flat

    def _position_weights(self, batch: ItemBatch, packed: PackedBatch) -> Tensor | None:
        """Return the weight of each flat position in the mean, float32 [total]; None where all weigh the same."""
        if self.image_weight is None or batch.image_counts is None or not len(packed.image_at):
            return None
        weights = np.ones(packed.offsets[-1], dtype=np.float32)
        weights[packed.image_at] = np.repeat(self.image_weight / np.maximum(batch.image_counts, 1), batch.image_counts)
        return send(weights, self.device)

    def _late_images(self, batch: ItemBatch) -> tuple[Tensor, np.ndarray]:
        """Return the projected images [m, d] and their number for each item [n]."""
        if batch.images is None or batch.image_counts is None:
            none = torch.zeros(0, self.backbone.config.hidden_size, device=self.device)
            return none, np.zeros(len(batch), dtype=np.int64)
        return self._project(batch.images), batch.image_counts

    def _fuse_late(self, text: Tensor, chunk: Chunk, images: Tensor, counts: np.ndarray) -> Tensor:
        """Return the texts [b, d] of a chunk fused with its images, of all images [m, d] and their numbers [n]."""
        assert self.late is not None
        own = counts[chunk.rows]
        at = send(ragged_indices(offsets_of(counts)[chunk.rows], own), self.device)
        fused: Tensor = self.late(text, images.index_select(0, at), send(own, self.device))
        return fused

    def _project(self, vectors: np.ndarray) -> Tensor:
        assert self.projection is not None
        images: Tensor = self.projection(self._vectors(vectors))
        return images

    def _vectors(self, vectors: np.ndarray) -> Tensor:
        """Return image vectors float32 [m, Dv] on the network's device."""
        assert self.projection is not None
        if vectors.shape[-1] != self.projection.in_features:
            raise StateError(
                "the image vectors are of another width than the model was trained on",
                found=f"{vectors.shape[-1]} numbers an image",
                expected=f"{self.projection.in_features}",
                remedy="run image_embedding with the vision model of the training, or train the variant again.",
            )
        # Widened there: half as much to transfer.
        return send(np.require(vectors, requirements=["C", "W"]), self.device).float()

    def _encode_chunk(
        self,
        inputs: Tensor,
        packed: PackedBatch,
        index: np.ndarray,
        mask: np.ndarray,
        position_weights: Tensor | None,
    ) -> Tensor:
        """Return pooled embeddings [b, d] of padded sequences [b, t, d] from the flat positions `index` [b, t]."""
        device = inputs.device
        positions = send(packed.positions[index] + self._first_position, device)
        attention = send(mask, device)
        hidden = self.backbone(
            inputs_embeds=inputs,
            attention_mask=self._seen(None if mask.all() else attention, device),
            position_ids=positions,
        ).last_hidden_state.float()
        if self.pooling == "last":
            last = send(mask.sum(axis=1) - 1, device)
            return hidden[torch.arange(len(index), device=device), last]
        weights = attention.to(hidden.dtype)
        if position_weights is not None:
            weights = weights * position_weights[send(index, device)]
        return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)

    def _seen(self, attention: Tensor | None, device: torch.device) -> Tensor | dict[str, Tensor | None] | None:
        """Return the mask of padded sequences, bool [b, t] or None where nothing is padded, as the backbone takes it.

        A GPU gets it as its attention layers use it, [b, 1, t, t] (or None) for each kind of layer. Of another form,
        transformers looks on the device whether anything is masked, and so waits for it, in every chunk.
        """
        if not self._ready_masks or device.type not in self._READY_ON:
            return attention
        if attention is not None:
            length = attention.shape[1]
            attention = attention[:, None, None, :].expand(-1, 1, length, -1)
            attention = attention.tril() if self._causal else attention
        return {"full_attention": attention} if self._ready_masks == "by layer" else attention


def _late_fusion(width: int, params: LateFusionParams, image_weight: float | None) -> LateFusion:
    if width % params.num_heads:
        raise ConfigError(
            "the attention heads of late fusion must divide the backbone's width",
            found=f"model.late.num_heads {params.num_heads}, width {width}",
            remedy="choose another number of heads.",
        )
    return LateFusion(
        width,
        num_heads=params.num_heads,
        feedforward=params.feedforward,
        dropout=params.dropout,
        image_weight=image_weight,
    )
