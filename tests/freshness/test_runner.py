"""What runs and what is fresh: parameters, outputs, versions, inputs; contents count, not times."""

import shutil

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from vixml.core.directories import Built, WorkDirectory
from vixml.core.workspace import works_in
from vixml.datasets import JSONDocumentDataset, RawFolderDataset, SealedDirectoryDataset, WorkDirectoryDataset
from vixml.freshness import hooks, origin
from vixml.freshness.contents import content_of
from vixml.freshness.runner import FreshRunner
from vixml.hooks import WorkHooks
from vixml.params.retrieval import RetrievalParams
from vixml.params.speed import SPEED_ONLY, result_settings
from vixml.params.variant import VariantParams


def measure(raw, factor: int):
    return {"length": len((raw / "lbl.json").read_text()) // factor, "seconds": id(object())}


@works_in("model_work")
def build(measured: dict, *, work: WorkDirectory):
    folder = work.fresh("out")
    (folder / "a.txt").write_text("x" * measured["length"])
    return Built(folder, "model", {"training_seconds": id(object())})


def report(model, params: VariantParams):
    return {"name": params.backbone.name}


PIPELINE = Pipeline(
    [
        node(measure, ["raw", "params:factor"], "measured", name="measure"),
        node(build, "measured", "model", name="build"),
        node(report, ["model", "params:variant"], "report", name="report"),
    ]
)


class World:
    """A project of three nodes."""

    def __init__(self, folder):
        self.folder, self.factor, self.variant = folder, 1, VariantParams()
        (folder / "raw").mkdir()
        self.write("hello")

    def write(self, text):
        (self.folder / "raw" / "lbl.json").write_text(text)

    @property
    def catalog(self):
        return DataCatalog(
            {
                "raw": RawFolderDataset(filepath=str(self.folder / "raw")),
                "work": WorkDirectoryDataset(filepath=str(self.folder / "work")),
                "measured": JSONDocumentDataset(filepath=str(self.folder / "measured.json")),
                "model": SealedDirectoryDataset(filepath=str(self.folder / "model"), kind="model"),
                "report": JSONDocumentDataset(filepath=str(self.folder / "report.json")),
                "params:factor": MemoryDataset(self.factor),
                "params:variant": MemoryDataset(self.variant),
            }
        )

    def run(self, *, all_nodes=False):
        """Run what is stale; return the names of the nodes that ran."""
        catalog, manager, recorder = self.catalog, _create_hook_manager(), hooks.FreshnessHooks()
        manager.register(recorder)
        manager.register(WorkHooks())
        recorder.before_pipeline_run({"only_missing_outputs": True}, PIPELINE, catalog)
        FreshRunner().run(PIPELINE, catalog, manager, only_missing_outputs=not all_nodes)
        return list(recorder._origins)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    assert made.run() == ["measure", "build", "report"]
    return made


def test_nothing_changed_nothing_runs(world):
    assert world.run() == []


def test_without_the_flag_everything_runs_and_nothing_is_stale_after(world):
    assert world.run(all_nodes=True) == ["measure", "build", "report"]
    assert world.run() == []


def test_a_changed_parameter_runs_its_node_and_stops_where_the_content_is_equal(world):
    world.factor = 5
    assert world.run() == ["measure", "build", "report"]
    world.write("world")  # as long as before
    assert world.run() == ["measure"]
    assert world.run() == []


def test_a_speed_only_setting_does_not_count_and_a_parameter_may_come_as_a_mapping(world):
    world.variant = VariantParams.model_validate({"batching": {"chunk_tokens": 64}})
    assert world.run() == []
    world.variant = VariantParams().model_dump(mode="json")
    assert world.run() == []
    world.variant = VariantParams.model_validate({"optim": {"lr": 0.5}})
    assert world.run() == ["report"]


@pytest.mark.parametrize("name", ["measured.json", "model", "report.json"])
def test_a_deleted_output_is_made_again_and_nothing_else(world, name):
    path = world.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert len(world.run()) == 1
    assert world.run() == []


def test_an_edited_or_torn_output_is_made_again(world):
    (world.folder / "model" / "a.txt").write_text("HELLO")
    assert world.run() == ["build"]
    (world.folder / "measured.json").write_text('{"length"')
    assert world.run() == ["measure"]


def test_an_output_of_unknown_origin_is_made_again(world):
    (world.folder / ".report.json.origin.json").unlink()
    assert world.run() == ["report"]
    (world.folder / ".report.json.origin.json").write_text("{")
    assert world.run() == ["report"]


def test_another_version_makes_stale(world, monkeypatch):
    monkeypatch.setattr(origin, "__version__", "99.0")
    assert world.run() == ["measure", "build", "report"]


def test_only_the_parts_that_a_node_reads_count(world, monkeypatch):
    monkeypatch.setitem(origin.PARTS, "report", {"model": {"other"}})
    assert world.run() == ["report"]
    world.factor = 5
    assert world.run() == ["measure", "build"]
    monkeypatch.setitem(origin.PARTS, "report", {"model": {"a"}})
    assert world.run() == ["report"]
    world.factor = 1
    assert world.run() == ["measure", "build", "report"]


def test_an_input_that_is_gone_is_no_reason_to_run(world):
    shutil.rmtree(world.folder / "raw")
    assert world.run() == []


def test_a_touched_folder_is_hashed_once_and_symbolic_links_count(world):
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_text("1")
    (world.folder / "raw" / "images").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(world.folder / "raw")  # a circle
    raw = world.catalog.get("raw")
    first = content_of(raw).fingerprint
    (world.folder / "raw" / ".hidden").write_text("1")
    assert content_of(raw).fingerprint == first
    (elsewhere / "a.png").write_text("22")
    assert content_of(raw).fingerprint != first


def test_speed_only_settings_exist(repository):
    for model, fields in SPEED_ONLY.items():
        for name, below in fields.items():
            assert name in model.model_fields
            if below is not True:
                assert set(below) <= set(model.model_fields[name].annotation.model_fields)
    assert "device" not in result_settings(VariantParams())["training"]
    assert set(result_settings(VariantParams())["retrieval"]) < set(RetrievalParams.model_fields)
