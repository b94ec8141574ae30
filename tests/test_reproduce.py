"""docs/how-to/reproduce.md: each row of the paper's tables has the published numbers and the row's command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.cost import RATE, cost
from kedro.framework.cli.utils import _split_params
from tests.configuration.test_recipes import DATA_SETS, PUBLISHED, RECIPES, load

from vixml.configuration.compose import ABLATION, ALL_VARIANTS, check_keys
from vixml.params.data.ingestion import DataParams
from vixml.params.variant import VariantParams
from vixml.pipeline_registry import register_pipelines

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "how-to" / "reproduce.md").read_text(encoding="utf-8")
TABLES = ("1", "3", "5", "6", "10", "13")
METRICS = ("P@1", "P@5", "PSP@1", "R@100")


class Row(NamedTuple):
    """One line of one table of the page: its id, its cells from the name to the command, the command's words."""

    id: str
    cells: list[str]
    words: list[str]

    @property
    def table(self) -> str:
        return self.id.partition(".")[0]

    def option(self, name: str) -> str:
        found = [word for word in self.words if word.startswith(f"--{name}=")]
        assert len(found) == 1, self.words
        return found[0].partition("=")[2]

    @property
    def given(self) -> dict[str, Any]:
        texts = [self.words[i + 1] for i, word in enumerate(self.words) if word == "--params"]
        return dict(_split_params(None, None, texts[0])) if texts else {}

    @property
    def variant(self) -> str:
        name = self.option("namespaces") if "--namespaces=" in " ".join(self.words) else self.option("pipeline")
        assert name in ALL_VARIANTS
        return name


def rows() -> Iterator[Row]:
    for line in PAGE.splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if re.fullmatch(r"\d+\.\d+", name):
            yield Row(name, cells, shlex.split(cells[-1].strip("` ")))


def blocks() -> list[list[str]]:
    """Return the words of each command that stands outside of the tables."""
    found = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    return [shlex.split(line) for block in found for line in block.splitlines()]


ROWS = list(rows())
ENTRIES = {entry["row"]: entry for table in TABLES for entry in PUBLISHED["results"][table]}


def test_every_row_of_every_table_is_there():
    assert sorted(row.id for row in ROWS) == sorted(ENTRIES)
    assert len(ROWS) == 76


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(row):
    entry = ENTRIES[row.id]
    names = METRICS if len(entry["values"]) > 1 else ("P@1",)
    assert [float(cell) for cell in row.cells[1 : 1 + len(names)]] == [entry["values"][name] for name in names]

    parameters = load(row.option("env"), **row.given)
    check_keys(parameters)
    DataParams.model_validate(parameters["data"])
    family, params = RECIPES[entry["recipe"]]["family"], VariantParams.model_validate(parameters[row.variant])
    assert row.words[:2] == ["kedro", "run"]
    assert row.option("env") == entry["data"]
    assert row.option("pipeline") in register_pipelines()
    assert (params.backbone.family, params.backbone.name) == (family, RECIPES[entry["recipe"]]["checkpoint"])
    assert params.model.use_images == (entry["kind"] == "vision")
    assert ABLATION.get(row.variant, (row.variant, None))[0] == f"{family}_{entry['kind']}"
    for setting, wanted in entry.get("settings", {}).items():
        found: Any = params
        for part in setting.split("."):
            found = getattr(found, part)
        assert found == wanted
    asked = {"run_name", f"{family}_recipe", row.variant, family}
    asked |= {"dataset", "data"} if entry.get("images") == 5 else set()
    assert set(row.given) <= asked, "nothing else is changed"
    if entry.get("images"):
        assert params.model.max_images == entry["images"] <= parameters["data"]["max_images_per_item"]

    facts = DATA_SETS[entry["data"]]
    estimate = cost(params, facts["train"], facts["labels"])
    assert row.cells[-3:-1] == [f"{estimate.hours:.1f}", f"{estimate.gigabytes:.0f}"]
    assert estimate.gigabytes < 75


def test_rows_that_only_evaluate_cost_what_the_row_cost_that_trains_their_model():
    """And name all of its settings: they tell one model from another."""
    trained = {(row.option("env"), row.variant, row.given.get("run_name")): row for row in ROWS if row.table in "13"}
    evaluating = [row for row in ROWS if row.table == "13"]
    assert len(evaluating) == 16
    for row in evaluating:
        assert row.option("pipeline") == "evaluation"
        recipe = next(value for name, value in row.given.items() if name.endswith("_recipe"))
        training = trained[row.option("env"), row.variant, recipe]
        assert row.cells[-3:-1] == training.cells[-3:-1], row.words
        left = set(training.words[-1].split(",")) - set(row.words[-1].split(","))
        assert left == {f"run_name={recipe}"}, row.words


def test_five_images_come_from_a_data_set_that_holds_them():
    """The commands above table 10 make it, in this order, and it is not the one of the other rows."""
    row = next(row for row in ROWS if row.given.get("run_name") == "images-5")
    asked = {name: row.given[name] for name in ("dataset", "data")}
    assert asked["data"] == {"image_embeddings": None, "max_images_per_item": 5}
    assert load(row.option("env"))["dataset"] != asked["dataset"] == load(row.option("env"), **asked)["dataset"]
    before = [words for words in blocks() if "data.image_embeddings=null" in words[-1]]
    assert [words[3].partition("=")[2] for words in before] == ["image_download", "ingestion,image_embedding"]
    for words in before:
        assert words[:3] == row.words[:3]
        assert _split_params(None, None, words[-1]) == asked


def test_the_rate_is_what_the_papers_longest_run_implies():
    params = VariantParams.model_validate(load("lf_amazontitles_1_3m")["decoder_vision"])
    facts = DATA_SETS["lf_amazontitles_1_3m"]
    assert f"{RATE:.1e}".replace("+", "") == "2.4e14"
    assert cost(params, facts["train"], facts["labels"]).hours == pytest.approx(178, rel=0.02)


def test_numbers_of_networks_are_those_of_the_recipes():
    """The facts of the estimate against the published sizes; 7B is counted without its output layer."""
    from benchmarks.cost import NETWORKS

    for name, facts in RECIPES.items():
        network = NETWORKS.get(facts["checkpoint"])
        if network is not None and name != "qwen2.5-7b":
            assert network.weights == pytest.approx(facts["million_parameters"] * 1e6, rel=0.01)


def test_the_papers_sizes_stand_in_the_page():
    for env, facts in DATA_SETS.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{env}`"))
        assert [f"{facts[side]:,}" for side in ("train", "test", "labels")] == re.findall(r"[\d,]{6,}", line)


def test_commands_outside_of_tables_name_what_exists():
    for words in blocks():
        names = next(word for word in words if word.startswith("--pipeline")).partition("=")[2]
        assert set(names.split(",")) <= set(register_pipelines())
        given = _split_params(None, None, words[-1]) if "--params" in words else {}
        parameters = load(next(word for word in words if word.startswith("--env=")).partition("=")[2], **given)
        check_keys(parameters)
