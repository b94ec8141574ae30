"""The page of an audit: pictures inside, text as text, nothing loaded."""

from __future__ import annotations

import re

import pandas as pd
import scipy.sparse as sp
from PIL import Image

from vixml.reporting.audit_page import render_audit

NASTY = "<script>alert(1)</script>"


def test_pictures_are_inside_and_texts_are_only_texts(tmp_path):
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.png")
    queries = pd.DataFrame({"uid": ["1", "2"], "text": [NASTY, "b"], "images": [["a.png"], ["../out.png"]]})
    labels = pd.DataFrame({"uid": ["x", "y"], "text": [NASTY, "other"], "images": [[], ["a.png"]]})
    table = pd.DataFrame(
        {
            "proposal": ["missing", "missing", "wrong"],
            "accept": "",
            "probability": [0.9, 0.8, 0.01],
            "usual": [None, None, 0.7],
            "query_id": ["1", "2", "1"],
            "label_id": ["y", "x", "x"],
            "query_text": [NASTY, "b", NASTY],
            "label_text": ["other", NASTY, NASTY],
        }
    )
    relevance = sp.csr_matrix([[1, 0], [0, 1]], dtype="float32")
    report = {"mined_negatives": {}, "min_probability": 0.5}
    page = render_audit(
        table, report, queries=queries, labels=labels, relevance=relevance, root=tmp_path, shown=10, name=NASTY
    )
    assert "<script" not in page
    assert page.count("<img") == 3, "of the first query twice, of the second label once; none from outside the folder"
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "default-src &#x27;none&#x27;" in page
    assert "0.700" in page
    assert "No variant draws mined" in page
    assert page.count("prefers-color-scheme: dark") == 1
    assert page.count("<small>") == 6


def test_only_so_many_are_shown(tmp_path):
    queries = pd.DataFrame({"uid": ["1"], "text": ["a"], "images": [[]]})
    row = {"accept": "", "probability": 0.9, "usual": None, "query_id": "1", "label_id": "1"}
    table = pd.DataFrame([{"proposal": "missing", **row, "query_text": "a", "label_text": "a"}] * 30)
    page = render_audit(
        table,
        {"mined_negatives": {}, "min_probability": 0.5},
        queries=queries,
        labels=queries,
        relevance=sp.csr_matrix((1, 1), dtype="float32"),
        root=tmp_path,
        shown=4,
        name="few",
    )
    assert page.count("<tr><td>") == 4
    assert "The first 4 of 30." in page


def test_long_texts_are_cut_and_stand_whole_in_a_tooltip(tmp_path):
    long = "word " * 200
    queries = pd.DataFrame({"uid": ["1"], "text": [long], "images": [[]]})
    row = {"accept": "", "probability": 0.9, "usual": None, "query_id": "1", "label_id": "1"}
    table = pd.DataFrame([{"proposal": "missing", **row, "query_text": long, "label_text": "a"}])
    page = render_audit(
        table,
        {"mined_negatives": {}, "min_probability": 0.5},
        queries=queries,
        labels=queries,
        relevance=sp.csr_matrix([[1.0]]),
        root=tmp_path,
        shown=4,
        name="long",
    )
    assert page.count(long) == 1
    assert f'title="{long}"' in page
    shown = re.findall(r"(?:word )+word…", page)
    assert sorted(map(len, shown)) == [60, 160]
