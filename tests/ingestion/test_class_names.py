"""Classes of Hugging Face `datasets` in Parquet: numbers in the cells, names in the metadata."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vixml.ingestion.class_names import class_names, named_classes
from vixml.ingestion.tables.files import read_blocks, read_table

ONE = {"names": ["hats", "shoes"], "_type": "ClassLabel"}


def metadata(**features) -> bytes:
    return json.dumps({"info": {"features": features}}).encode()


@pytest.mark.parametrize(
    "feature", [ONE, [ONE], {"feature": ONE, "_type": "Sequence"}, {"feature": ONE, "_type": "List", "length": -1}]
)
def test_a_class_and_a_list_of_classes_have_names(feature):
    found = class_names(metadata(label=feature, text={"dtype": "string", "_type": "Value"}))
    assert found == {"label": ["hats", "shoes"]}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not json",
        b"[1]",
        b'{"info": 3}',
        metadata(label={"names": ["a", "a"], "_type": "ClassLabel"}),
        metadata(label=3),
    ],
)
def test_metadata_without_usable_names_changes_nothing(content):
    assert class_names(content) == {}
    assert named_classes([0, 1], class_names(content).get("label")) == [0, 1]


def test_numbers_become_names_and_minus_one_nothing():
    assert named_classes([0, 1, -1, 7, None, "x", [1, 0]], ["hats", "shoes"]) == [
        *("hats", "shoes", None, 7, None, "x", ["shoes", "hats"])
    ]


def test_a_parquet_of_datasets_has_the_names_of_its_labels(tmp_path):
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, 1], "all": [[0, 1], [], [1]]})
    features = metadata(text={"dtype": "string", "_type": "Value"}, label=ONE, all=[ONE])
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "q.parquet")
    assert read_table(tmp_path / "q.parquet").columns["label"] == ["shoes", "hats", "shoes"]
    assert [block.columns["all"] for block in read_blocks(tmp_path / "q.parquet", 2)] == [
        *([["hats", "shoes"], []], [["shoes"]])
    ]
