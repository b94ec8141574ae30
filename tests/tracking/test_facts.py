import subprocess

from vixml.params.variant import VariantParams
from vixml.tracking.facts import (
    data_fingerprint,
    final_metrics,
    git_state,
    headline,
    numbers,
    origin,
    safe_name,
    shown_settings,
)


def test_parameters_are_flat_texts_that_mlflow_takes():
    flat = shown_settings(VariantParams())
    assert flat["optim.lr"] == "0.0002"
    assert flat["backbone.prompt.text"] == "This product text"
    assert len(flat) > 40
    assert max(map(len, shown_settings({"long": "x" * 10_000}).values())) < 6000


def test_a_runs_name_is_shown_in_the_description_and_does_nothing():
    name = "a|b\n[x](javascript:alert(1)) <img src=x onerror=alert(1)> ![y](http://z) `c`"
    head, _, row = headline({name: {"metrics": {"P@1": 0.5}}}).splitlines()
    assert head == "| test, percent | P@1 |"
    assert row == (
        r"| a\|b \[x\](javascript:alert(1)) &lt;img src=x onerror=alert(1)&gt; \!\[y\](http://z) \`c\` | 50.00 |"
    )
    assert headline({"encoder_text": {"metrics": {"P@1": 1.0}}}).splitlines()[2] == "| encoder_text | 100.00 |"


def test_the_description_names_data_set_and_recipe():
    assert origin({"dataset": "shop", "recipe": "small-data"}) == "Data set shop, recipe small-data.\n\n"
    assert origin({"recipe": "a|b", "dataset": None}) == "Recipe a\\|b.\n\n"
    assert origin({}) == ""


def test_metric_names_are_made_safe():
    assert safe_name("P@1") == "P_at_1"
    assert safe_name("validation/PSP@5") == "validation/PSP_at_5"
    assert safe_name("a|b") == "a_b"


def test_numbers_are_the_finite_ones():
    found = numbers({"a": {"b": 1, "c": float("nan")}, "d": True, "e": "x", "f": 2.5})
    assert found == {"a.b": 1.0, "f": 2.5}


def test_few_numbers_of_a_result_are_compared_in_mlflow():
    """Headline metrics first, then the main figures of the slices, then cost; the document has all the others."""
    document = {
        "labels": 1500,
        "metrics": {"Hit@1": 0.6, "R@10": 0.8, "P@1": 0.5, "P@100": 0.1},
        "metrics_plain": {"P@1": 0.4},
        "seconds": {"training": 2.5},
        "slices": {
            "labels": {"tail": {"labels": 900, "recall@10": 0.3, "recall@100": 0.7}},
            "queries": {"with image": {"P@1": 0.7, "P@3": 0.6, "PSP@5": 0.4, "queries": 12}},
            "never_predicted": {"@1": 0.6, "@5": 0.2},
        },
    }

    found = final_metrics(document)

    assert found[:2] == [("P_at_1", 0.5), ("R_at_10", 0.8)]
    assert dict(found[2:]) == {
        "slices/labels.tail.recall_at_10": 0.3,
        "slices/queries.with image.P_at_1": 0.7,
        "slices/queries.with image.PSP_at_5": 0.4,
        "slices/never_predicted._at_5": 0.2,
        "seconds.training": 2.5,
    }


def test_git_state_tells_commit_and_dirt(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_state(tmp_path) == {}
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    state = git_state(tmp_path)
    assert len(state["git.commit"]) == 40
    assert state["git.dirty"] == "false"
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path)["git.dirty"] == "true"


def test_the_fingerprint_is_of_content(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    first = data_fingerprint({"items": tmp_path / "a", "missing": tmp_path / "c"})
    assert first == data_fingerprint({"items": tmp_path / "b"})
    (tmp_path / "b").write_text("2")
    assert first != data_fingerprint({"items": tmp_path / "b"})
