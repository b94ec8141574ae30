import logging

import pytest
from kedro.io import DataCatalog, MemoryDataset

from vixml.core.errors import ConfigError, DataError, StateError
from vixml.datasets import JSONDocumentDataset
from vixml.hooks import ProjectHooks
from vixml.params.variant import VariantParams
from vixml.pipeline_registry import register_pipelines

SMALL = {"fabrication": {"num_train": 20, "num_test": 10, "num_labels": 12, "labels_per_family": 6, "image_pixels": 16}}


def test_a_misspelt_parameter_stops_before_anything_runs(kedro_run, project):
    with pytest.raises(ConfigError, match="did you mean `fabrication`"):
        kedro_run("fabrication", params={"fabricaton": {"num_train": 5}})
    assert not (project / "data").exists()


def test_a_misspelt_field_stops_before_anything_runs(kedro_run, project):
    with pytest.raises(ConfigError, match=r"`fabrication\.num_trian`.*did you mean `fabrication\.num_train`"):
        kedro_run("fabrication", params={"fabrication": {"num_trian": 5}})
    assert not (project / "data").exists()


@pytest.mark.parametrize(
    ("pipeline", "first"),
    [("image_embedding", "ingestion"), ("encoder_text", "ingestion"), ("hard_negative_refresh", "ingestion")],
)
def test_a_missing_input_names_the_pipeline_to_run_first(kedro_run, pipeline, first):
    kedro_run("fabrication", params=SMALL)
    with pytest.raises(StateError, match=f"kedro run --pipelines={first}`"):
        kedro_run(pipeline)


def test_missing_raw_files_say_where_they_come_from(kedro_run, tmp_path):
    with pytest.raises(DataError, match="run `fabrication` first"):
        kedro_run("ingestion")
    (tmp_path / "shop").mkdir()
    with pytest.raises(DataError, match="shop: the folder has no label file"):
        kedro_run("study", params={"data_root": str(tmp_path / "shop")})


def test_demo_data_never_replaces_a_users_files(kedro_run, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "lbl.json").write_text("mine")
    with pytest.raises(DataError, match="--pipelines=study"):
        kedro_run(params={"data_root": str(folder)})
    assert [p.name for p in folder.iterdir()] == ["lbl.json"]


def test_raw_to_clean_data_in_the_order_of_a_fresh_user(kedro_run, project):
    kedro_run("fabrication", params=SMALL)
    kedro_run("ingestion", params=SMALL)
    stored = {p.name for p in (project / "data" / "03_primary" / "demo" / "dataset").iterdir()}
    assert {"items_train.parquet", "relevance_test.npz", "filter_validation.npz"} <= stored


def test_a_comparison_of_nothing_stops_before_the_baselines(kedro_run, project):
    with pytest.raises(StateError, match=r"`dataset` is not there yet.*pipelines=ingestion"):
        kedro_run("comparison")
    kedro_run("fabrication", "ingestion", params=SMALL)
    for params, said in (
        ({}, "nothing to compare: no variant has been"),
        ({"runs": "mine"}, "no stored run is called"),
    ):
        with pytest.raises(StateError, match=said):
            kedro_run("comparison", params={**SMALL, **params})
    assert not (project / "data/08_reporting/demo/baseline_metrics.json").exists()


class TestImagesThatAreNotThere:
    """A model is to read five images of an item, and ingestion kept three."""

    def warnings(self, caplog, tmp_path, pipeline, *, report=True, max_images=5):
        nodes = register_pipelines()[pipeline].nodes
        model = {"use_images": pipeline.endswith("_vision"), "max_images": max_images}
        params = VariantParams.model_validate({"model": model})
        catalog = DataCatalog(
            {
                "data_report": JSONDocumentDataset(filepath=str(tmp_path / "data_report.json")),
                **{f"params:{name}": MemoryDataset(params) for name in ("encoder_text", "encoder_vision")},
            }
        )
        if report:
            sides = {"train": {"most_images": 3}, "label": {"most_images": 2}}
            catalog.save("data_report", {"sides": sides, "repairs": {"images_beyond_limit": 7}})
        hooks = ProjectHooks()
        with caplog.at_level(logging.WARNING, logger="vixml.hooks"):
            for node in nodes:
                hooks.before_node_run(node, catalog)
        return [record.getMessage() for record in caplog.records if record.name == "vixml.hooks"]

    def test_a_run_says_so_once(self, caplog, tmp_path):
        (said,) = self.warnings(caplog, tmp_path, "encoder_vision")
        assert said.startswith("encoder_vision: model.max_images is 5, but no item has more than 3")

    @pytest.mark.parametrize(
        ("pipeline", "changes"),
        [("encoder_text", {}), ("encoder_vision", {"max_images": 3}), ("encoder_vision", {"report": False})],
    )
    def test_nothing_is_said_where_nothing_is_wrong_or_known(self, caplog, tmp_path, pipeline, changes):
        assert self.warnings(caplog, tmp_path, pipeline, **changes) == []

    def test_training_and_evaluation_each_look(self):
        from vixml.hooks import _reading_images

        found = {node.name for node in register_pipelines()["encoder_vision"].nodes if _reading_images(node)}
        assert {"encoder_vision.train_warmup", "encoder_vision.train_hard", "encoder_vision.embed"} <= found
