"""The data report against counts by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from vixml.ingestion.report import build_report, images_that_are_not_there, summary_table
from vixml.params.model import ModelParams


@pytest.fixture
def report() -> dict:
    items = pd.DataFrame({"uid": ["a", "b"], "text": ["one two", "üé"], "images": [["x", "y"], []]})
    relevance = csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32))
    empty = csr_matrix((0, 4), dtype=np.float32)
    filters = csr_matrix(np.array([[0, 1, 1, 0], [0, 0, 0, 0]], dtype=np.float32))
    return build_report(
        items={"train": items, "validation": items.iloc[:0], "test": items, "label": items},
        relevance={"train": relevance, "validation": empty, "test": relevance},
        filters={"train": filters, "validation": empty, "test": filters},
        repairs={"b": 1, "a": 0},
    )


def test_counts(report):
    train = report["sides"]["train"]
    assert train["words"]["mean"] == 1.5
    assert train["characters"]["max"] == 7
    assert train["with_image_share"] == 0.5
    assert (train["images"], train["most_images"]) == (2, 2)
    assert report["labels_per_point"]["train"]["mean"] == 1.5
    assert report["points_per_label"] == {"mean": 0.75, "median": 0.5, "p95": pytest.approx(1.85), "min": 0, "max": 2}
    assert report["head_and_tail"]["top_1_percent_share_of_pairs"] == pytest.approx(2 / 3)
    assert report["head_and_tail"]["tail_share_of_labels"] == 1.0
    assert report["head_and_tail"]["labels_without_training_point"] == 2
    assert report["filter_pairs"]["train"] == {"pairs": 2, "of_them_relevant": 1}


def test_an_empty_side_has_zeros(report):
    assert report["sides"]["validation"]["words"]["mean"] == 0.0
    assert report["sides"]["validation"]["with_image_share"] == 0.0


def test_summary_has_a_row_a_side(report):
    table = summary_table(report)
    assert table["side"].tolist() == ["train", "validation", "test", "label"]
    assert table.loc[0, "items_with_image_percent"] == 50.0
    assert np.isnan(table.loc[3, "labels_per_point"])


class TestImagesThatAreNotThere:
    """No item of the report has more than two."""

    def say(self, report, model=None, **repairs):
        return images_that_are_not_there(
            {**report, "repairs": repairs}, ModelParams(use_images=True, **({} if model is None else model))
        )

    def test_ingestion_left_images_out(self, report):
        said = self.say(report, images_beyond_limit=1234)
        assert "max_images is 3" in said
        assert "more than 2 image" in said
        assert "1,234" in said
        assert "data.max_images_per_item=3" in said
        assert "kedro run --pipelines=ingestion,image_embedding" in said

    def test_data_with_fewer_than_the_default_are_nothing_to_speak_of(self, report):
        assert self.say(report, images_beyond_limit=0) is None
        assert self.say(report) is None

    def test_more_than_the_default_were_asked_for(self, report):
        said = self.say(report, {"max_images": 5}, images_beyond_limit=0)
        assert "max_images is 5" in said
        assert "pre-computed embeddings" in said

    def test_what_ingestion_left_out_is_not_asked_for(self, report):
        for model in ({"max_images": 2}, {"max_images": 0}, {"use_images": False}):
            found = {**report, "repairs": {"images_beyond_limit": 9}}
            assert images_that_are_not_there(found, ModelParams(**{"use_images": True, **model})) is None

    def test_a_report_of_an_earlier_version_does_not_tell(self, report):
        for side in report["sides"].values():
            del side["most_images"]
        assert self.say(report, {"max_images": 5}, images_beyond_limit=9) is None
