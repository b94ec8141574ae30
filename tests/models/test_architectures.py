"""Every supported architecture, as a tiny random model in a folder, through the whole way of a backbone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.conftest import DECODERS, ENCODERS, WORDS
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel

from vixml.core.errors import ConfigError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.data.tokens import tokenise
from vixml.models.build import build_model, make_template, model_spec, open_model, save_model
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch
from vixml.models.text.backbone import linear_names, make_backbone, word_scale
from vixml.models.text.tokenizer import load_tokenizer
from vixml.params.model import BackboneParams, ModelParams

Folder = Callable[[str], Path]

ALL = [*ENCODERS, *DECODERS]
IMAGES = 6
OPTIONS = {"image_dim": IMAGES, "num_labels": 5, "chunk_tokens": 48}
MODEL = {"prototype": {"num_heads": 4, "feedforward": 16}, "late": {"num_heads": 4, "feedforward": 16}}


def params_of(name: str, folder: Folder, **settings: object) -> BackboneParams:
    return BackboneParams(
        name=str(folder(name)), family="encoder" if name in ENCODERS else "decoder", max_length=16, **settings
    )


def build(backbone: BackboneParams, model: ModelParams | None = None) -> DualModel:
    tokenizer = load_tokenizer(backbone.name)
    return build_model(backbone, model or ModelParams(**MODEL), tokenizer=tokenizer, seed=0, **OPTIONS).eval()


def items(backbone: BackboneParams, count: int = 14) -> ItemBatch:
    """Texts of different lengths with 0 to 3 images."""
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(1, 9, count)]
    tokenizer = load_tokenizer(backbone.name)
    tokens = tokenise(texts, tokenizer, max_length=16, special_tokens=backbone.family == "encoder")
    counts = rng.integers(0, 4, count)
    return ItemBatch(tokens, rng.standard_normal((counts.sum(), IMAGES)).astype(np.float32), counts)


def one(batch: ItemBatch, item: int) -> ItemBatch:
    row = batch.tokens.row(item)
    starts = offsets_of(batch.image_counts)
    images = batch.images[starts[item] : starts[item + 1]]
    return ItemBatch(RaggedArray(row, offsets_of(np.array([len(row)]))), images, batch.image_counts[item : item + 1])


def assert_alone_equals_together(model: DualModel, batch: ItemBatch) -> None:
    with torch.no_grad():
        together = model.embed(batch)
        bare = model.embed(ItemBatch(batch.tokens))
        for item in range(len(batch)):
            torch.testing.assert_close(model.embed(one(batch, item))[0], together[item], atol=1e-5, rtol=1e-5)
        has_image = torch.from_numpy(batch.image_counts > 0)
    assert not torch.allclose(together[has_image], bare[has_image], atol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_an_item_alone_equals_the_item_in_any_batch(name: str, backbone_folder: Folder) -> None:
    """With and without images; images change the embedding of those that have some."""
    backbone = params_of(name, backbone_folder)
    assert_alone_equals_together(build(backbone), items(backbone))


@pytest.mark.parametrize("name", ALL)
def test_saved_and_opened_it_embeds_the_same(name: str, backbone_folder: Folder, tmp_path: Path) -> None:
    """Bit by bit, from plain files, without the original folder's weights."""
    backbone, settings = params_of(name, backbone_folder), ModelParams(**MODEL)
    model, batch = build(backbone, settings), items(backbone)
    folder = tmp_path / "model"
    folder.mkdir()
    load_tokenizer(backbone.name).save_pretrained(str(tmp_path / "tokenizer"))
    spec = model_spec(backbone, settings, **OPTIONS)
    save_model(model, folder, spec=spec, tokenizer_folder=tmp_path / "tokenizer")
    again, _ = open_model(folder)
    with torch.no_grad():
        assert torch.equal(model.embed(batch), again.embed(batch))


@pytest.mark.parametrize("name", ALL)
def test_words_alone_equal_the_model_called_by_token_ids(name: str, backbone_folder: Folder) -> None:
    """Word embeddings, their scale and the positions are those that the model itself would take."""
    backbone = params_of(name, backbone_folder, prompt={"enabled": False, "end": ""})
    model, batch = build(backbone), items(backbone, 5)
    original = AutoModel.from_pretrained(backbone.name).eval()
    begin = list(model.embedder.template.begin)
    with torch.no_grad():
        found = model.embedder(ItemBatch(batch.tokens))
        for item in range(len(batch)):
            ids = torch.tensor([begin + batch.tokens.row(item).astype(np.int64).tolist()])
            hidden = original(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            torch.testing.assert_close(found[item], hidden[0].mean(dim=0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_who_sees_whom(name: str, attention: str, backbone_folder: Folder) -> None:
    """The first position changes with the last word only if attention is bidirectional, with and without padding."""
    backbone = params_of(name, backbone_folder, attention=attention)
    embedder = build(backbone).embedder
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 10]])
    words = embedder.backbone.get_input_embeddings()(ids)
    for mask in (None, torch.tensor([[1, 1, 1, 1, 1, 0]]).repeat(2, 1).bool()):
        padded = words if mask is None else torch.cat([words, words[:, :1]], dim=1)
        with torch.no_grad():
            hidden = embedder.backbone(inputs_embeds=padded, attention_mask=mask).last_hidden_state
        assert torch.allclose(hidden[0, 0], hidden[1, 0], atol=1e-5) == (attention == "causal")


@pytest.mark.parametrize("name", DECODERS)
def test_bidirectional_decoders_do_not_depend_on_the_batch(name: str, backbone_folder: Folder, tmp_path: Path) -> None:
    """Nor do they fall back to causal attention when they are opened again."""
    backbone, settings = params_of(name, backbone_folder, attention="bidirectional"), ModelParams(**MODEL)
    model, batch = build(backbone, settings), items(backbone)
    assert_alone_equals_together(model, batch)
    load_tokenizer(backbone.name).save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "m").mkdir()
    save_model(
        model,
        tmp_path / "m",
        spec=model_spec(backbone, settings, **OPTIONS),
        tokenizer_folder=tmp_path / "tokenizer",
    )
    again, _ = open_model(tmp_path / "m")
    with torch.no_grad():
        assert torch.equal(model.embed(batch), again.embed(batch))


@pytest.mark.parametrize("name", ["qwen2", "gemma3", "distilbert"])
def test_lora_finds_its_layers(name: str, backbone_folder: Folder, tmp_path: Path) -> None:
    """`auto` puts adapters on attention and feed-forward; opened again, the model embeds the same."""
    backbone, settings = params_of(name, backbone_folder, lora={"rank": 2, "alpha": 2}), ModelParams(**MODEL)
    model, batch = build(backbone, settings), items(backbone)
    adapted = {n.split(".lora_A")[0].rsplit(".", 1)[-1] for n, _ in model.named_parameters() if "lora_A" in n}
    decoder = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert adapted == ({"q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"} if name == "distilbert" else decoder)
    with torch.no_grad():
        for parameter_name, weight in model.named_parameters():
            if "lora_B" in parameter_name:
                weight.normal_()
    load_tokenizer(backbone.name).save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "m").mkdir()
    spec = model_spec(backbone, settings, **OPTIONS)
    save_model(model, tmp_path / "m", spec=spec, tokenizer_folder=tmp_path / "tokenizer")
    again, _ = open_model(tmp_path / "m")
    with torch.no_grad():
        torch.testing.assert_close(model.embed(batch), again.embed(batch))


def test_begin_and_end_are_found(backbone_folder: Folder) -> None:
    """Llama and Gemma begin with their own token, Qwen with none; the end is the usual one or the tokenizer's own."""
    templates = {}
    for name in ("qwen2", "qwen3", "llama", "gemma3", "bert"):
        backbone = params_of(name, backbone_folder)
        templates[name] = make_template(backbone, ModelParams(), load_tokenizer(backbone.name))
    assert templates["llama"].begin == templates["gemma3"].begin == (2,)
    assert templates["qwen2"].begin == templates["qwen3"].begin == templates["bert"].begin == ()
    assert templates["qwen3"].end == templates["llama"].end == (3,)
    assert templates["qwen2"].end == (0,)
    assert templates["bert"].words == 0
    named = params_of("qwen2", backbone_folder, prompt={"end": "<nowhere>"})
    with pytest.raises(ConfigError, match="no token of this tokenizer"):
        make_template(named, ModelParams(), load_tokenizer(named.name))


def test_gemma_scales_its_words(backbone_folder: Folder) -> None:
    """Images must enter at the scale of the words that the network sees."""
    assert word_scale(AutoModel.from_pretrained(backbone_folder("gemma3"))) == pytest.approx(32**0.5)
    assert word_scale(AutoModel.from_pretrained(backbone_folder("bert"))) == 1.0


def _vision(folder: Path) -> None:
    from transformers import ViTConfig

    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    AutoModel.from_config(ViTConfig(**size, image_size=16, patch_size=8)).save_pretrained(folder)


def _encoder_decoder(folder: Path) -> None:
    from transformers import T5Config

    config = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    AutoModel.from_config(config).save_pretrained(folder)


def _two_towers(folder: Path) -> None:
    from transformers import CLIPConfig

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = CLIPConfig(
        text_config={**size, "vocab_size": 40}, vision_config={**size, "image_size": 16, "patch_size": 8}
    )
    AutoModel.from_config(config).save_pretrained(folder)


def _few_words(folder: Path) -> None:
    from transformers import BertConfig

    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    AutoModel.from_config(BertConfig(**size, vocab_size=10)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_vision, "reads no text"),
        (_encoder_decoder, "encoder-decoder"),
        (_two_towers, "does not fit"),
        (_few_words, "tokenizer belongs to another model"),
    ],
)
def test_what_does_not_fit_says_why(
    make: Callable[[Path], None], why: str, backbone_folder: Folder, tmp_path: Path
) -> None:
    """Before any training, in one sentence."""
    make(tmp_path)
    with pytest.raises(ConfigError, match=why):
        make_backbone(BackboneParams(name=str(tmp_path)), load_tokenizer(backbone_folder("bert")), max_positions=8)


def test_a_decoder_is_no_encoder(backbone_folder: Folder) -> None:
    """A causal model under the encoder's name would embed every text by its first words."""
    backbone = BackboneParams(name=str(backbone_folder("qwen2")), family="encoder")
    with pytest.raises(ConfigError, match="it is a decoder"):
        make_backbone(backbone, load_tokenizer(backbone.name), max_positions=8)


def test_roberta_counts_its_positions_from_behind_the_padding_index(backbone_folder: Folder) -> None:
    """Of 66 positions 64 are left for a sequence."""
    backbone = BackboneParams(name=str(backbone_folder("roberta")))
    tokenizer = load_tokenizer(backbone.name)
    make_backbone(backbone, tokenizer, max_positions=64)
    with pytest.raises(ConfigError, match="too few positions"):
        make_backbone(backbone, tokenizer, max_positions=65)


def test_the_text_part_of_a_larger_model(backbone_folder: Folder, tmp_path: Path) -> None:
    """Gemma-3 from 4B on comes with a vision tower, of which nothing is needed."""
    from tests.models.conftest import make_tokenizer_like
    from transformers import Gemma3Config

    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 16,
        "patch_size": 8,
    }
    text = {**DECODERS["gemma3"][1], "vocab_size": 40}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    make_tokenizer_like("gemma3").save_pretrained(str(tmp_path))
    backbone = BackboneParams(name=str(tmp_path), family="decoder", max_length=16)
    model = build(backbone)
    assert type(model.embedder.backbone).__name__ == "Gemma3TextModel"
    assert_alone_equals_together(model, items(backbone))
    assert linear_names(model.embedder.backbone) == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


class _Looks(TorchDispatchMode):
    """Counts how often the host looks at a value of a tensor: on a GPU it would wait for the device each time."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


KINDS = [
    *((name, "causal", None) for name in ENCODERS),  # an encoder is bidirectional in any case
    *itertools.product(DECODERS, ("causal", "bidirectional"), (None, {"rank": 2, "alpha": 2})),
]


@pytest.mark.parametrize(("name", "attention", "lora"), KINDS)
def test_ready_masks_mean_the_same_and_nobody_looks_at_the_device(
    name: str, attention: str, lora: object, backbone_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a GPU gets them; Qwen2 and Qwen3 run without a look at a value, with padding and without."""
    backbone = params_of(name, backbone_folder, attention=attention, lora=lora)
    model, batch = build(backbone), items(backbone)
    with torch.no_grad():
        with _Looks() as before:
            expected = model.embedder(batch)
        monkeypatch.setattr(Embedder, "_READY_ON", frozenset({"cpu"}))
        with _Looks() as after:
            found = model.embedder(batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert after.count <= before.count
    if name in ("qwen2", "qwen3"):
        assert after.count == 0
        assert before.count > 0 or attention == "bidirectional"
