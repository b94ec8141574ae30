"""Settings by dotted names, library versions, and what differs between two documents."""

from __future__ import annotations

import kedro
import pytest

from vixml.core.provenance import differences, drop_volatile_keys, fingerprint_json, flatten, library_versions, listed
from vixml.params.speed import result_settings
from vixml.params.variant import VariantParams


def test_leaves_have_dotted_names_and_an_empty_mapping_is_one():
    assert flatten({"a": {"b": 1, "c": {"d": [2, {"e": 3}]}}, 5: None, "f": {}}) == {
        "a.b": 1,
        "a.c.d": [2, {"e": 3}],
        "5": None,
        "f": {},
    }
    assert flatten(7, "seed") == {"seed": 7}
    assert flatten({}) == {}


def test_a_parameter_model_is_flattened_as_its_json():
    flat = flatten(VariantParams(), "params")
    assert flat["params.optim.lr"] == 0.0002
    assert flat.keys() == {f"params.{name}" for name in flatten(VariantParams().model_dump(mode="json"))}


def test_no_setting_of_a_variant_is_an_empty_mapping():
    """Checkpoints of former versions have no entry for one: a new entry would make them look like others'."""
    assert {} not in flatten(result_settings(VariantParams())).values()


def test_versions_come_without_imports_and_leave_out_what_is_not_installed():
    assert library_versions(["kedro", "no-such-distribution"]) == {"kedro": kedro.__version__}


def test_differences_compare_as_json_and_name_both_values():
    then, now = {"a": [1, 2], "b": "x", "d": "same"}, {"a": (1, 2), "b": None, "c": 1.5, "d": "same"}
    assert differences(then, now) == ['b: "x" -> null', "c: null -> 1.5"]
    assert differences({"long": "0123456789" * 9}, {"long": ""}) == ['long: "01234567..." -> ""']
    assert differences(now, dict(now)) == []


@pytest.mark.parametrize(("count", "line"), [(1, "0"), (2, "0; 1"), (4, "0; 1; and 2 more")])
def test_many_differences_are_cut(count, line):
    assert listed([str(number) for number in range(count)], most=2) == line


def test_facts_that_vary_from_run_to_run_do_not_count():
    first, second = ({"seconds": time, "rows": [{"loss": 1.0, "peak_memory_bytes": time}]} for time in (1, 2))
    assert fingerprint_json(first) != fingerprint_json(second)
    assert fingerprint_json(drop_volatile_keys(first)) == fingerprint_json(drop_volatile_keys(second))
