"""The whole stage over a published data set: proposals, mined negatives, report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from tests.audit.test_unseen import PARAMS, WORDS, _shop

from vixml.audit.audit import audit_labels
from vixml.core.directories import Built, WorkDirectory, publish
from vixml.data.dataset import Dataset, build_dataset
from vixml.data.ragged import RaggedArray
from vixml.negatives.table import MinedTable
from vixml.params.evaluation import EvaluationParams
from vixml.reporting.audit_page import render_audit


def test_an_audit_from_a_data_set_to_a_page(tmp_path):
    train, hidden, _ = _shop()
    none = sp.csr_matrix((0, 12), dtype=np.float32)
    items = pd.DataFrame(
        {"uid": [f"q{n}" for n in range(240)], "text": train.items.texts, "images": [["a.png"]] + [[]] * 239}
    )
    labels = [f"{word} <{side}>" for side in ("one", "two") for word in WORDS]
    parts = {"items_train": items, "relevance_train": train.relevance, "filter_train": train.exclude}
    for side in ("validation", "test"):
        parts |= {f"items_{side}": items.iloc[:0], f"relevance_{side}": none, f"filter_{side}": none}
    parts["items_label"] = pd.DataFrame({"uid": labels, "text": labels, "images": [[]] * 12})
    dataset = Dataset(publish(build_dataset(parts, WorkDirectory(tmp_path / "w")), tmp_path / "dataset"))
    row, label = next(iter(hidden))
    mined = np.full((240, 2), (label + 2) % 6, dtype=np.int32)
    mined[row, 0] = label
    folder = tmp_path / "mined"
    folder.mkdir()
    MinedTable(mined, RaggedArray(np.zeros(0, np.int32), np.zeros(241, np.int64))).save(folder)
    negatives = {"encoder_text": publish(Built(folder, "hard-negatives", {}), tmp_path / "n"), "encoder_vision": None}
    stale = tmp_path / "w" / "folds-of another audit"
    stale.mkdir()
    table, report = audit_labels(
        PARAMS.model_copy(update={"proposals": 20, "min_probability": 0.3}),
        EvaluationParams(),
        dataset,
        mined=negatives,
        work=WorkDirectory(tmp_path / "w"),
    )
    assert not stale.exists()
    found = {(int(uid[1:]), labels.index(name)) for uid, name in zip(table["query_id"], table["label_id"], strict=True)}
    assert len(hidden & found) >= 10
    assert list(report["mined_negatives"]) == ["encoder_text"]
    counts = report["mined_negatives"]["encoder_text"]["all"]
    assert counts["negatives"] == 480
    assert 1 <= counts["doubtful"] < 240
    same = {"queries": items, "labels": parts["items_label"], "relevance": train.relevance, "root": tmp_path}
    page = render_audit(table, report, **same, shown=5, name="shop & co")
    assert page.count("<tr><td>") == 1 + 5 + 5
    assert "shop &amp; co" in page
    assert "&lt;one&gt;" in page
    assert "<one>" not in page
    assert "encoder_text" in page
