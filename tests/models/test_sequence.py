"""Sequences against a loop over items: order, prompts, special tokens and positions (rows of ViXML's table 6)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tests.models.conftest import make_tokenizer_like

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.build import make_template
from vixml.models.item_batch import ItemBatch
from vixml.models.sequence import InputTemplate, pack
from vixml.params.model import BackboneParams, ModelParams

IMAGE = -1
ITEMS = st.lists(st.tuples(st.lists(st.integers(10, 99), max_size=6), st.integers(0, 3)), min_size=1, max_size=6)
IDS = st.lists(st.integers(1, 9), max_size=3).map(tuple)
TEMPLATES = st.builds(
    InputTemplate,
    images_first=st.booleans(),
    reserved=st.sampled_from([0, 3]),
    begin=IDS,
    lead=st.integers(0, 2),
    text_prompt=IDS,
    image_prompt=IDS,
    end=IDS,
)


def by_hand(text: list[int], images: int, template: InputTemplate) -> list[int]:
    """One item's sequence; -1 stands for an image."""
    words = [*text[: template.lead], *template.text_prompt, *text[template.lead :]]
    pictures = [*template.image_prompt, *[IMAGE] * images] if images else []
    inner = [*pictures, *words] if template.images_first else [*words, *pictures]
    return [*template.begin, *inner, *template.end]


def batch_of(items: list[tuple[list[int], int]]) -> ItemBatch:
    values = np.array([token for text, _ in items for token in text], dtype=np.int64)
    tokens = RaggedArray(values, offsets_of(np.array([len(text) for text, _ in items])))
    counts = np.array([count for _, count in items])
    return ItemBatch(tokens, np.zeros((counts.sum(), 4), np.float32), counts)


@settings(max_examples=200, deadline=None)
@given(ITEMS, TEMPLATES)
def test_every_template_is_packed_as_by_hand(items: list[tuple[list[int], int]], template: InputTemplate) -> None:
    """Whatever the order, the prompts and the numbers of images."""
    packed = pack(batch_of(items), template)
    found = packed.token_ids.copy()
    found[packed.image_at] = IMAGE
    expected = [by_hand(text, images, template) for text, images in items]
    assert_array_equal(packed.offsets, offsets_of(np.array([len(row) for row in expected])))
    assert found.tolist() == [token for row in expected for token in row]
    assert np.all(np.diff(packed.image_at) > 0)


@settings(max_examples=100, deadline=None)
@given(ITEMS, TEMPLATES)
def test_positions_do_not_depend_on_the_batch(items: list[tuple[list[int], int]], template: InputTemplate) -> None:
    """Plain ones, but where places are reserved: there words stand as if all images were there."""
    packed = pack(batch_of(items), template)
    for item, (text, images) in enumerate(items):
        found = packed.positions[packed.offsets[item] : packed.offsets[item + 1]]
        alone = pack(batch_of([(text, images)]), template)
        assert_array_equal(found, alone.positions)
        places = len(found)
        shifted = template.images_first and template.reserved
        absent = 0 if not shifted else template.reserved - images + (0 if images else len(template.image_prompt))
        before = len(template.begin) + (images + len(template.image_prompt) if images else 0) if shifted else places
        assert_array_equal(found, np.arange(places) + np.where(np.arange(places) >= before, absent, 0))


def test_text_only_networks_reserve_nothing() -> None:
    """Without an image bank a text begins at position 0."""
    batch = batch_of([([11, 12], 0)])
    assert pack(ItemBatch(batch.tokens), InputTemplate()).positions.tolist() == [0, 1]
    assert pack(batch, InputTemplate()).positions.tolist() == [3, 4]


CLS, SEP, RED, VASE = 2, 3, 4, 8
PROMPT, ITS = (13, 14, 15), (16,)  # "this product text", "and"


@pytest.mark.parametrize(
    ("family", "where", "prompted", "expected"),
    [
        ("encoder", "auto", None, [IMAGE, CLS, RED, VASE, SEP]),
        ("encoder", "before", True, [*ITS, IMAGE, CLS, *PROMPT, RED, VASE, SEP]),
        ("encoder", "after", False, [CLS, RED, VASE, SEP, IMAGE]),
        ("encoder", "after", True, [CLS, *PROMPT, RED, VASE, SEP, *ITS, IMAGE]),
        ("decoder", "auto", None, [*PROMPT, RED, VASE, *ITS, IMAGE, SEP]),
        ("decoder", "before", True, [*ITS, IMAGE, *PROMPT, RED, VASE, SEP]),
        ("decoder", "before", False, [IMAGE, RED, VASE, SEP]),
        ("decoder", "after", False, [RED, VASE, IMAGE, SEP]),
    ],
)
def test_rows_of_table_6(family: str, where: str, prompted: bool | None, expected: list[int]) -> None:
    """Each combination of order and prompts is a configuration."""
    tokenizer = make_tokenizer_like("bert" if family == "encoder" else "qwen3")
    prompt = {"enabled": prompted, "text": "this product text", "image": "and"}
    backbone = BackboneParams(family=family, prompt=prompt)
    template = make_template(backbone, ModelParams(image_position=where), tokenizer)
    text = [RED, VASE]
    batch = batch_of([([CLS, *text, SEP] if family == "encoder" else text, 1)])
    packed = pack(batch, template)
    found = packed.token_ids.copy()
    found[packed.image_at] = IMAGE
    assert found.tolist() == expected
