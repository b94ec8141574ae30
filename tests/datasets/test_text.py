"""Text files and pages: written, read, previewed."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from vixml.datasets.text import PageDataset, TextFileDataset


def test_a_text_comes_back_and_is_previewed_by_lines(tmp_path: Path) -> None:
    dataset = TextFileDataset(filepath=str(tmp_path / "new" / "table.md"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="missing"):
        dataset.load()
    text = "\n".join(["ü" * 300, *map(str, range(99))])
    dataset.save(text)
    assert dataset.exists()
    assert dataset.load() == text
    shown = dataset.preview(nrows=3)
    assert shown["data"] == [["ü" * 200], ["0"], ["1"]]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>Shop & more</title>x", "Shop & more"),
        ("x", "a&lt;b.html"),
        ("<title><img src=x onerror=alert(1)> &lt;b&gt;</title>", "&lt;img src=x onerror=alert(1)&gt; &lt;b&gt;"),
    ],
)
def test_a_page_is_previewed_by_its_title_and_its_place_without_its_content(
    tmp_path: Path, page: str, title: str
) -> None:
    dataset = PageDataset(filepath=str(tmp_path / "a<b.html"))
    dataset.save(page + "<script>alert(1)</script>")
    shown = str(dataset.preview())
    assert f"<h3>{title}</h3>" in shown
    assert "a&lt;b.html</code>" in shown
    assert "script" not in shown
