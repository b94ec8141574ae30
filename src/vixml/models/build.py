"""Build, save and open a model: plain JSON and safetensors, no pickle, no network for what was trained in full."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from vixml.core.directories import write_json
from vixml.core.errors import ConfigError, StateError
from vixml.core.guards.untrusted import opening, read_document
from vixml.core.seeding import global_stream
from vixml.models.saved import weight_shapes
from vixml.models.sequence import InputTemplate
from vixml.models.text.backbone import backbone_from_config, make_backbone, merge_adapters
from vixml.models.text.tokenizer import end_ids, load_saved_tokenizer, special_tokens_in_front, word_ids
from vixml.params.model import BackboneParams, ModelParams
from vixml.params.objective import LabelSideKind

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from vixml.models.dual import DualModel

_SPEC, _BACKBONE, _WEIGHTS = "model.json", "backbone_config.json", "model.safetensors"

_LABELS = 10_000_000  # that are taken without looking

COMBINER_INPUT = "pooled"
"""What the prototype combiner reads of a label's text: its embedding as pooled; in models without this entry, at unit
length."""


def build_model(
    backbone: BackboneParams,
    model: ModelParams,
    *,
    tokenizer: PreTrainedTokenizerFast,
    image_dim: int | None,
    num_labels: int,
    chunk_tokens: int,
    seed: int,
    label_side: LabelSideKind = "prototype",
    half: bool = False,
) -> DualModel:
    """Return a new model with its random parts drawn from `seed`.

    Args:
        backbone: The text network.
        model: Images and prototypes.
        tokenizer: Tokenizer of the backbone.
        image_dim: Width of the image bank; None for a text-only variant.
        num_labels: Number of labels.
        chunk_tokens: Most padded positions per forward chunk.
        seed: Seed of the random parts.
        label_side: What stands for a label.
        half: See `make_backbone`.
    """
    template = make_template(backbone, model, tokenizer)
    slots = model.max_images if image_dim is not None and model.fusion == "early" else 0
    max_positions = backbone.max_length + slots + template.words
    with global_stream(seed, "model"):
        network = make_backbone(backbone, tokenizer, max_positions=max_positions, half=half)
        return _assemble(network, backbone, model, template, image_dim, num_labels, chunk_tokens, label_side)


def make_template(backbone: BackboneParams, model: ModelParams, tokenizer: PreTrainedTokenizerFast) -> InputTemplate:
    """Return order, prompts and special tokens of the sequences, as the settings and the tokenizer say.

    Raises:
        ConfigError: The end token is none of the tokenizer's, and it is not the usual one either.
    """
    is_encoder, prompt = backbone.family == "encoder", backbone.prompt
    prompted = not is_encoder if prompt.enabled is None else prompt.enabled
    where = model.image_position
    text, image = (prompt.text, prompt.image) if prompted else ("", "")
    begin, lead = special_tokens_in_front(tokenizer)
    return InputTemplate(
        images_first=is_encoder if where == "auto" else where == "before",
        reserved=model.max_images if is_encoder else 0,
        begin=() if is_encoder else begin,
        lead=lead if is_encoder and text else 0,
        text_prompt=word_ids(tokenizer, text),
        image_prompt=word_ids(tokenizer, image),
        end=() if is_encoder else end_ids(tokenizer, prompt.end),
    )


def save_model(model: DualModel, folder: Path, *, spec: dict[str, Any], tokenizer_folder: Path) -> None:
    """Write everything that is needed to open the model again.

    Args:
        model: The model.
        folder: Existing folder.
        spec: Keyword arguments of `build_model` as JSON (see `model_spec`).
        tokenizer_folder: Folder of the tokenizer, copied.
    """
    import shutil

    from safetensors.torch import save_file

    write_json(folder / _SPEC, spec)
    config = model.embedder.backbone.config.to_dict()
    write_json(folder / _BACKBONE, json.loads(json.dumps(config, default=str)))
    save_file(trained_state(model), str(folder / _WEIGHTS))
    shutil.copytree(tokenizer_folder, folder / "tokenizer")


def model_spec(
    backbone: BackboneParams,
    model: ModelParams,
    *,
    image_dim: int | None,
    num_labels: int,
    chunk_tokens: int,
    label_side: LabelSideKind = "prototype",
) -> dict[str, Any]:
    """Return the JSON description that `open_model` rebuilds a model from."""
    return {
        "backbone": backbone.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "image_dim": image_dim,
        "num_labels": num_labels,
        "chunk_tokens": chunk_tokens,
        "label_side": label_side,
        "combiner_input": COMBINER_INPUT,
    }


def open_model(folder: Path) -> tuple[DualModel, PreTrainedTokenizerFast]:
    """Open a saved model for inference, with its tokenizer: in evaluation mode, adapters merged, no weight trained.

    Raises:
        StateError: Files are missing or do not belong together, or an earlier version trained another combiner.
    """
    import torch
    from safetensors.torch import load_file

    spec = read_document(folder / _SPEC)
    label_side = spec.get("label_side", "prototype")
    if label_side == "prototype" and spec.get("combiner_input") != COMBINER_INPUT:
        raise StateError(
            "this model is from an earlier version, whose label prototypes are made from embeddings of unit length",
            file=folder / _SPEC,
            found=f"combiner_input: {spec.get('combiner_input')}",
            expected=COMBINER_INPUT,
            remedy="train the variant again, or use the version that trained it.",
        )
    with opening(folder / _SPEC):
        backbone, model = BackboneParams(**spec["backbone"]), ModelParams(**spec["model"])
        shape = _Shape(spec["image_dim"], spec["num_labels"], spec["chunk_tokens"], label_side)
        shape.check()
    tokenizer = load_saved_tokenizer(folder / "tokenizer")
    weights = folder / _WEIGHTS
    shapes = weight_shapes(weights)
    ours = global_stream(0, "weights that the saved ones replace")
    with opening(folder / _SPEC, "the parts of the model do not belong together"), ours:
        template = make_template(backbone, model, tokenizer)
        if backbone.lora is None:
            # without memory first: a configuration of a few bytes can ask for terabytes
            with torch.device("meta"):
                empty = backbone_from_config(folder / _BACKBONE, backbone)
                empty = _assemble(empty, backbone, model, template, *shape)
            _check_shapes(empty, shapes, weights)
            network = backbone_from_config(folder / _BACKBONE, backbone)
        else:
            _check_sizes(shape, shapes, weights)
            network = make_backbone(backbone, tokenizer, max_positions=backbone.max_length, offline=True)
        dual = _assemble(network, backbone, model, template, *shape)
    with opening(weights):
        state = load_file(str(weights))
        if odd := [
            name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()
        ]:
            raise ValueError(f"{odd[0]} holds numbers that are not finite")
    load_trained_state(dual, state, weights)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= dual.embedder.backbone.get_input_embeddings().weight.shape[0]:
        raise StateError("the tokenizer has more words than the model", file=folder / "tokenizer", found=largest)
    if backbone.lora is not None:
        dual.embedder.backbone = merge_adapters(dual.embedder.backbone)
    return dual.eval().requires_grad_(False), tokenizer


class _Shape(NamedTuple):
    """What of the model no settings say."""

    image_dim: int | None
    num_labels: int
    chunk_tokens: int
    label_side: LabelSideKind

    def check(self) -> None:
        """Raise ValueError where a number is none."""
        for name, value in self._asdict().items():
            if name == "label_side":
                fits = value in get_args(LabelSideKind)
            elif name == "image_dim":  # 0 where a vision variant saw no image at all
                fits = value is None or (type(value) is int and value >= 0)
            else:
                fits = type(value) is int and value > 0
            if not fits:
                raise ValueError(f"{name}: {value!r}")


def _check_shapes(model: DualModel, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Compare what a model wants with what a file has, before memory is taken for either."""
    wanted = {name: tuple(tensor.shape) for name, tensor in _trained_names(model).items()}
    for name in sorted(wanted.keys() & shapes.keys()):
        if wanted[name] != shapes[name]:
            found, expected = f"{name} {list(shapes[name])}", f"{list(wanted[name])}"
            raise StateError("the weights have other shapes than the model", file=file, found=found, expected=expected)
    if odd := sorted(wanted.keys() ^ shapes.keys()):
        found = f"{len(odd)} names differ: {odd[:4]}"
        raise StateError("the weights do not belong to this model", file=file, found=found)


def _check_sizes(shape: _Shape, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Look at the number of labels alone, where the base of the model is elsewhere."""
    longest = max((size for sizes in shapes.values() for size in sizes), default=0)
    if shape.label_side != "text" and shape.num_labels > max(longest, _LABELS):
        raise StateError("the weights have other shapes than the model", file=file, found=f"{shape.num_labels} labels")


def trained_state(model: DualModel) -> dict[str, Tensor]:
    """Return trainable weights and buffers on the CPU; frozen weights under LoRA are left out."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in _trained_names(model).items()}


def _trained_names(model: DualModel) -> dict[str, Tensor]:
    trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}
    return {name: tensor for name, tensor in model.state_dict().items() if name in trainable or name in buffers}


def load_trained_state(model: DualModel, state: dict[str, Tensor], file: Path) -> None:
    """Put saved weights back.

    Raises:
        StateError: The file lacks weights, or has some of another shape or unknown name.
    """
    expected = trained_state(model)
    if expected.keys() != state.keys():
        odd = sorted(expected.keys() ^ state.keys())
        raise StateError(
            "the weights do not belong to this model", file=file, found=f"{len(odd)} names differ: {odd[:4]}"
        )
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as err:
        raise StateError("the weights have other shapes than the model", file=file, found=str(err)) from err


def _assemble(
    network: PreTrainedModel,
    backbone: BackboneParams,
    model: ModelParams,
    template: InputTemplate,
    image_dim: int | None,
    num_labels: int,
    chunk_tokens: int,
    label_side: LabelSideKind,
) -> DualModel:
    from vixml.models.dual import DualModel
    from vixml.models.embedder import Embedder
    from vixml.models.label_side import make_label_side
    from vixml.models.text.dropout import use_fast_dropout

    embedder = Embedder(
        network,
        image_dim=image_dim,
        template=template,
        pooling=backbone.pooling,
        image_weight=model.image_weight,
        late=model.late if model.fusion == "late" else None,
        image_residual=model.image_residual,
        output_dim=model.output_dim,
        chunk_tokens=chunk_tokens,
    )
    if any(dim >= embedder.dim for dim in model.matryoshka):
        raise ConfigError(
            "model.matryoshka asks for more than the embeddings have",
            found=model.matryoshka,
            expected=f"widths below {embedder.dim}",
        )
    if label_side == "prototype" and embedder.dim % model.prototype.num_heads:
        raise ConfigError(
            "the combiner's attention heads must divide the embedding width",
            found=f"model.prototype.num_heads {model.prototype.num_heads}, width {embedder.dim}",
            remedy="choose another number of heads.",
        )
    dual = DualModel(embedder, make_label_side(label_side, embedder.dim, model.prototype, num_labels=num_labels))
    use_fast_dropout(dual)
    return dual
