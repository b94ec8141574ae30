"""Settings of the network: backbone, prompt, LoRA, image injection, prototypes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from vixml.params.base import Params


class TinyParams(Params):
    """A small randomly initialised backbone whose tokenizer is trained on the corpus (no network needed)."""

    hidden_size: int = Field(128, ge=8)
    """Width of the embeddings; a multiple of `num_heads`."""
    num_layers: int = Field(2, ge=1)
    """Transformer layers."""
    num_heads: int = Field(4, ge=1)
    """Attention heads."""
    intermediate_size: int = Field(256, ge=8)
    """Width of the feed-forward layers."""
    vocab_size: int = Field(4096, ge=64)
    """Upper bound of the trained vocabulary, special tokens included."""
    initializer_range: float = Field(0.02, gt=0)
    """Standard deviation of the random weights; larger values spread a decoder's texts further apart at the start."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability of the random encoder (the decoder has none, like Qwen2)."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyParams:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}")
        return self


class PromptParams(Params):
    """Words around text and images: `text` TEXT [`image` IMAGES] `end`; or [`image` IMAGES] `text` TEXT `end`."""

    enabled: bool | None = None
    """Whether the words of `text` and `image` are used; `null`: for decoders, not for encoders."""
    text: str = "This product text"
    """Words before the item's text; empty for none."""
    image: str = "and its image"
    """Words before the images; used only by items that have images."""
    end: str = "<|endoftext|>"
    """End token of a decoder; if the vocabulary lacks it, the tokenizer's own end-of-sequence token is used."""

    @field_validator("text", "image", "end", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return "" if value is None else value  # the command line turns an empty text into null


class LoraParams(Params):
    """Rank-stabilised low-rank adapters on a pretrained backbone."""

    rank: int = Field(256, ge=1)
    """Rank of the adapters."""
    alpha: float = Field(256, gt=0)
    """Scaling numerator; the update is scaled by alpha / sqrt(rank)."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability in front of the adapters."""
    targets: Literal["auto"] | tuple[str, ...] = "auto"
    """Names of the linear layers that get an adapter; `auto` takes all of attention and feed-forward."""


class BackboneParams(Params):
    """The text network that embeds queries and labels."""

    family: Literal["encoder", "decoder"] = "encoder"
    """Bidirectional encoder (images first, no prompt) or causal decoder (prompt, images after the text)."""
    attention: Literal["causal", "bidirectional"] = "causal"
    """Attention of a decoder: causal, as pretrained, or over all positions; an encoder's is always bidirectional."""
    name: str = "tiny"
    """Hub name, local folder, or `tiny` for a small random network (see `tiny`)."""
    max_download_gb: float = Field(40.0, gt=0)
    """Largest weights to download from the hub, in GB; a larger model is refused before the download."""
    max_length: int = Field(32, ge=4, le=8192)
    """Longest text in tokens; an encoder's special tokens count, a decoder's prompt does not."""
    pooling: Literal["mean", "last"] = "mean"
    """Mean over all positions of the sequence, or the last one."""
    prompt: PromptParams = PromptParams()
    """Prompt of a decoder; encoders have none."""
    lora: LoraParams | None = None
    """Low-rank adapters instead of full training; `null` trains every weight."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    tiny: TinyParams = TinyParams()
    """Size of the `tiny` backbone."""

    @model_validator(mode="after")
    def _lora_needs_pretrained(self) -> BackboneParams:
        if self.lora is not None and self.name == "tiny":
            raise ValueError("lora adapts pretrained weights, the tiny backbone is random: set lora to null")
        return self


class LabelVectorParams(Params):
    """How label vectors are fitted to the embeddings of the training queries after training."""

    epochs: int = Field(6, ge=1)
    """Passes over the training queries."""
    batch_size: int = Field(256, ge=1)
    """Queries per step; each is compared with the labels of all of them."""
    negatives: int = Field(512, ge=0)
    """Further labels per step, drawn at random among those with training queries."""
    lr: float = Field(0.01, gt=0)
    """Peak learning rate (AdamW, linear decay to zero)."""
    temperature: float = Field(0.05, gt=0)
    """Temperature of the decoupled softmax."""


class PrototypeParams(Params):
    """PRIME's label prototypes: text embedding, free vector and centroid through one transformer layer."""

    num_heads: int = Field(8, ge=1)
    """Attention heads of the combiner; must divide the embedding width."""
    feedforward: int = Field(1024, ge=1)
    """Width of the combiner's feed-forward layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability in the combiner."""
    gate: float | None = Field(None, ge=0)
    """`null`: the combiner's output is the prototype, as in the paper. A number: a prototype starts as the label's
    centroid plus a fifth of its text, and the combiner's output is added with this initial length, which is then
    learned."""
    free_vectors: int = Field(65536, ge=1)
    """Maximum number of learnable vectors; if there are more labels, they share vectors by balanced clustering."""
    free_init: Literal["xavier", "cluster_mean"] = "xavier"
    """Initial free vectors: random, or the mean label embedding of the labels that share one."""
    fit: LabelVectorParams | None = None
    """After training, fit each prototype to the embeddings of the training queries, which stay as they are (the second
    half of NGAME). It takes 12 bytes of memory per number of all label vectors. `null`: the prototype is the combiner's
    output, as in the PRIME paper."""


class LateFusionParams(Params):
    """The attention layer of late fusion, over the text's embedding and the projected images."""

    num_heads: int = Field(8, ge=1)
    """Attention heads; must divide the backbone's width."""
    feedforward: int = Field(1024, ge=1)
    """Width of the feed-forward layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability in the layer."""


class ModelParams(Params):
    """How text and images become an embedding."""

    use_images: bool = True
    """Inject image embeddings (a vision variant) or read text only."""
    max_images: int = Field(3, ge=0, le=64)
    """Maximum number of images used per item (ingestion keeps at most `data.max_images_per_item`); 0 uses none."""
    fusion: Literal["early", "late"] = "early"
    """`early`: images join the word embeddings (ViXML); `late`: images are combined with the text's embedding after the
    backbone (MUFIN-style)."""
    image_position: Literal["auto", "before", "after"] = "auto"
    """Images before or after the text, with early fusion; `auto`: before it in an encoder, after it in a decoder."""
    image_weight: float | None = Field(None, gt=0)
    """Total weight of an item's images in the mean that forms its embedding, whatever their number; a word has weight
    1, with late fusion the text. `null`: 1 per image, as in the paper. No effect with `pooling: last`."""
    late: LateFusionParams = LateFusionParams()
    """The attention layer of late fusion."""
    image_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of leaving out all images of a query or label in a training step; 0 as in the paper."""
    image_residual: float = Field(0.0, ge=0)
    """Initial length of the contribution that an item's images make to its embedding past the backbone, relative to the
    backbone's own output; learned from there. 0, as in the paper, switches this path off."""
    projection_init: Literal["whitened", "random"] = "whitened"
    """Initialisation of the image projection: PCA whitening of the image bank with a random rotation, or random
    weights."""
    prototype: PrototypeParams = PrototypeParams()
    """The prototype combiner."""
    output_dim: int | None = Field(None, ge=8)
    """Width of the embeddings: the backbone's embeddings are truncated to this many dimensions; `null` keeps all."""
    matryoshka: tuple[int, ...] = ()
    """Shorter widths to train as well, so that embeddings can be truncated to them (`retrieval.dim`); empty for
    none."""

    @property
    def uses_images(self) -> bool:
        """Whether the network looks at images at all."""
        return self.use_images and self.max_images > 0

    def weighs_images(self, pooling: str) -> bool:
        """Whether `image_weight` has an effect: images are read, and an embedding is a mean that they take part in."""
        return self.uses_images and (self.fusion == "late" or pooling == "mean")

    @model_validator(mode="after")
    def _widths(self) -> ModelParams:
        if any(dim < 1 for dim in self.matryoshka):
            raise ValueError("each width of matryoshka must be at least 1")
        if self.output_dim is not None and any(dim >= self.output_dim for dim in self.matryoshka):
            raise ValueError(f"each width of matryoshka must be below output_dim {self.output_dim}")
        return self
