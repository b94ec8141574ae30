import dataclasses
import logging

import pytest

from vixml.core.errors import StateError
from vixml.reporting.compare import TestSet
from vixml.reporting.selection import choose_runs, compared_runs, find_run


@pytest.fixture
def runs(study):
    """Two runs of encoder_text, one of decoder_vision; ids are set, so that their order is not the clock's."""
    stored = {
        "first": study.add("encoder_text", 0.3, seed=1, name="plain"),
        "second": study.add("encoder_text", 0.5, seed=2, name="tuned"),
        "image": study.add("decoder_vision", 0.8),
    }
    for number, (key, run) in enumerate(stored.items()):
        document = {
            **run.document,
            "id": f"2026010{number}T000000-aaaaa{number}",
            "mlflow_id": f"{number}beef{'0' * 27}",
        }
        stored[key] = dataclasses.replace(run, document=document)
    study.archives.update(encoder_text=[stored["second"], stored["first"]], decoder_vision=[stored["image"]])
    return stored


def labels(study, references):
    return [(entry.label, entry.run.id[7]) for entry in choose_runs(study.archives, references, study.data.identity)]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("encoder_text", "second"),
        ("encoder_text~0", "second"),
        ("encoder_text~1", "first"),
        ("plain", "first"),
        ("20260100", "first"),
        ("1beef", "second"),
        ("decoder_vision", "image"),
    ],
)
def test_a_run_is_found_by_variant_name_and_the_beginning_of_its_ids(study, runs, reference, expected):
    assert find_run(study.archives, reference)[1].id == runs[expected].id


def test_latest_is_the_newest_of_each_variant_in_the_order_of_the_variants(study, runs):
    assert labels(study, "latest") == [("encoder_text", "1"), ("decoder_vision", "2")]


def test_several_runs_of_a_variant_are_told_apart_and_none_stands_twice(study, runs):
    expected = [("encoder_text (tuned)", "1"), ("encoder_text (plain)", "0"), ("decoder_vision", "2")]
    assert labels(study, "encoder_text~1 + latest+tuned") == expected


def test_runs_without_a_name_are_told_apart_by_their_time(study):
    stored = [study.add("encoder_text", 0.1 * number) for number in (1, 2)]
    study.archives["encoder_text"] = [
        dataclasses.replace(run, document={**run.document, "id": f"20261128T08533{number}.496-aaaaaa"})
        for number, run in reversed(list(enumerate(stored, 1)))
    ]
    found = choose_runs(study.archives, "encoder_text+encoder_text~1", study.data.identity)
    assert [entry.label for entry in found] == ["encoder_text (28 Nov 08:53:32)", "encoder_text (28 Nov 08:53:31)"]


def test_the_chosen_runs_are_found_again_by_the_report(study, runs):
    report = study.compare("latest+encoder_text~1")
    assert report["order"] == ["encoder_text (tuned)", "encoder_text (plain)", "decoder_vision"]
    found = compared_runs(study.archives, report)
    assert [(entry.label, entry.run.id) for entry in found] == [
        (label, report["runs"][label]["id"]) for label in report["order"]
    ]


def test_an_unknown_or_ambiguous_reference_names_what_there_is(study, runs):
    with pytest.raises(StateError, match=r"no stored run is called `encoder_text~2`.*encoder_text 20260101T"):
        find_run(study.archives, "encoder_text~2")
    with pytest.raises(StateError, match="several runs begin with `202601`"):
        find_run(study.archives, "202601")
    with pytest.raises(StateError, match="nothing to compare"):
        choose_runs({"encoder_text": []}, "latest", study.data.identity)


@pytest.mark.parametrize("part", ["true pairs", "filter pairs", "test queries", "labels"])
def test_another_test_set_is_refused_where_named_and_left_out_where_latest(study, runs, part, caplog):
    data = study.data
    changed = {
        "true pairs": lambda: dataclasses.replace(data, relevance=data.relevance[::-1].tocsr()),
        "filter pairs": lambda: dataclasses.replace(data, exclude=data.relevance),
        "test queries": lambda: dataclasses.replace(data, items=data.items.assign(uid=data.items["uid"] + "x")),
        "labels": lambda: dataclasses.replace(data, labels=data.labels.assign(uid=data.labels["uid"] + "x")),
    }[part]()
    assert isinstance(changed, TestSet)
    other = study.add("encoder_vision", 0.5, data=changed)
    with pytest.raises(StateError, match=f"another test set: its {part} differ"):
        choose_runs(study.archives, f"latest+{other.id}", data.identity)
    with caplog.at_level(logging.WARNING):
        assert "encoder_vision" not in dict(labels(study, "latest"))
    assert "encoder_vision is left out" in caplog.text
