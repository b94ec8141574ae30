"""Words of the demo: brand names never repeat, every meaning has its own."""

from __future__ import annotations

from vixml.demo.words import CATEGORIES, FILLERS, MATERIALS, USES, brand_names


def test_brand_names_never_repeat():
    names = [name for brand in range(3000) for name in brand_names(brand)]
    assert len(set(names)) == len(names)


def test_every_meaning_has_words_of_its_own():
    words = [word for group in (*CATEGORIES, *USES, *MATERIALS) for word in group]
    assert len(set(words)) == len(words)
    assert not set(words) & set(FILLERS)
