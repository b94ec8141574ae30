import shutil
from pathlib import Path

import pandas as pd
import pytest

from vixml.config import ProjectConfigLoader, raw_folder, store_name
from vixml.configuration.compose import VARIANTS
from vixml.configuration.sections import PROJECT_DEFAULTS
from vixml.core.provenance import flatten
from vixml.params.variant import VariantParams
from vixml.settings import CONFIG_LOADER_ARGS

SMALL = {"fabrication": {"num_train": 20, "num_test": 10, "num_labels": 12, "labels_per_family": 6, "image_pixels": 16}}


@pytest.fixture
def load(project):
    def load(params=None, env=None):
        return ProjectConfigLoader(str(project / "conf"), env=env, runtime_params=params, **CONFIG_LOADER_ARGS)

    return load


def write(project, name, text):
    file = project / "conf" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def epochs(loader):
    return {name: loader["parameters"][name]["training"]["epochs"] for name in ("encoder_text", "encoder_vision")}


class TestVariants:
    def test_a_family_on_the_command_line_changes_both_twins(self, load):
        assert epochs(load({"encoder": {"training": {"epochs": 3}}})) == {"encoder_text": 3, "encoder_vision": 3}

    def test_a_variant_on_the_command_line_changes_itself(self, load):
        found = epochs(load({"encoder_text": {"training": {"epochs": 3}}}))
        assert found["encoder_text"] == 3
        assert found["encoder_vision"] == epochs(load())["encoder_vision"] != 3

    @pytest.mark.parametrize("order", [("encoder", "encoder_text"), ("encoder_text", "encoder")])
    def test_both_together_in_any_order(self, load, order):
        both = {"encoder": {"training": {"epochs": 3}}, "encoder_text": {"optim": {"lr": 0.5}}}
        loader = load({name: both[name] for name in order})
        assert epochs(loader) == {"encoder_text": 3, "encoder_vision": 3}
        assert loader["parameters"]["encoder_text"]["optim"]["lr"] == 0.5

    def test_an_environment_changes_a_family_and_keeps_its_siblings(self, load, project):
        write(project, "mine/parameters.yml", "encoder: {training: {epochs: 4}}\nencoder_backbone: some/model\n")
        loader = load(env="mine")
        assert epochs(loader) == {"encoder_text": 4, "encoder_vision": 4}
        assert epochs(load({"encoder": {"training": {"epochs": 7}}}, env="mine"))["encoder_text"] == 7
        assert loader["parameters"]["encoder_text"]["backbone"]["name"] == "some/model"
        assert loader["parameters"]["encoder_text"]["optim"] == load()["parameters"]["encoder_text"]["optim"]

    def test_base_sections_are_complete_and_valid(self, load):
        parameters = load()["parameters"]
        for name in VARIANTS:
            written, known = leaves(parameters[name]), leaves(VariantParams().model_dump())
            assert written == known
            variant = VariantParams.model_validate(parameters[name])
            assert variant.model.use_images == name.endswith("vision")
            assert name.startswith(variant.backbone.family)

    def test_base_holds_little(self, repository):
        lines = (repository / "conf/base/parameters_variants.yml").read_text().splitlines()
        assert len(lines) <= 150


RAW = dict.fromkeys(("trn", "tst", "lbl"), '{"uid": "%s", "title": "a", "target_ind": [0], "target_rel": [1.0]}\n')


def write_raw(folder, *, queries=30):
    folder.mkdir(parents=True)
    for name, line in RAW.items():
        lines = (line % f"{name}{number}" for number in range(queries if name == "trn" else 5))
        (folder / f"{name}.json").write_text("".join(lines))
    return folder


class TestRecipesByThemselves:
    """`auto`, the default, goes by what the raw folder holds."""

    def recipes(self, loader):
        parameters = loader["parameters"]
        return parameters["encoder_recipe"], parameters["decoder_recipe"]

    def test_the_demo_before_and_after_it_is_drawn(self, load, kedro_run):
        assert self.recipes(load()) == ("demo", "demo")
        kedro_run("fabrication", params=SMALL)
        assert self.recipes(load()) == ("demo", "demo")
        assert self.recipes(load({"dataset": "another-demo"})) == ("demo", "demo")

    def test_a_folder_of_ones_own_never_takes_a_setting_of_the_demo(self, load, tmp_path):
        loader = load({"data_root": str(write_raw(tmp_path / "demo"))})
        parameters = loader["parameters"]
        assert self.recipes(loader) == ("small-data", "small-data")
        assert parameters["vision"]["model"] == PROJECT_DEFAULTS["vision"]["model"]
        for name, family in VARIANTS.items():
            variant = VariantParams.model_validate(parameters[name])
            assert variant.backbone.name == PROJECT_DEFAULTS[family]["backbone"]["name"]
            assert variant.optim.lr == 1e-4
            assert variant.model.image_weight is None
        origins = {setting.origin for setting in loader.settings()}
        assert "recipe demo" not in origins
        assert "recipe small-data" in origins

    def test_nor_does_one_that_is_trained_from_nothing(self, load, tmp_path):
        tiny = {"encoder_backbone": "tiny", "decoder_backbone": "tiny", "vision_backbone": "tiny"}
        loader = load({"data_root": str(write_raw(tmp_path / "shop")), **tiny})
        assert self.recipes(loader) == ("tiny", "tiny")
        assert loader["parameters"]["encoder_vision"]["model"]["image_weight"] is None

    def test_a_moved_raw_folder_leaves_ingested_data_of_ones_own(self, load, project, tmp_path):
        ingested = project / "data/03_primary/shop/dataset/items_train.parquet"
        ingested.parent.mkdir(parents=True)
        pd.DataFrame({"uid": [str(n) for n in range(30_000)]}).to_parquet(ingested)
        assert self.recipes(load({"data_root": "/gone/shop"})) == ("medium-data", "medium-data")

    def test_a_files_setting_wins_over_the_recipe_and_the_command_line_over_both(self, load, project, tmp_path):
        write_raw(tmp_path / "raw")
        write(project, "mine/globals.yml", f"dataset: shop\ndata_root: {tmp_path / 'raw'}\n")
        write(project, "mine/parameters.yml", "encoder: {optim: {lr: 0.5}}\nencoder_text: {training: {epochs: 4}}\n")
        parameters = load(env="mine")["parameters"]
        assert parameters["encoder_vision"]["optim"]["lr"] == parameters["encoder_text"]["optim"]["lr"] == 0.5
        assert epochs(load(env="mine")) == {"encoder_text": 4, "encoder_vision": 6}
        assert epochs(load({"encoder": {"training": {"epochs": 7}}}, env="mine"))["encoder_text"] == 7

    def test_the_line_of_a_run(self, load, tmp_path):
        root = {"data_root": str(write_raw(tmp_path / "shop"))}
        said = load(root).describe_recipes(["encoder", "decoder"])
        assert "small-data (encoder), small-data (decoder), for about 30 training queries" in said
        assert "bert (encoder), as set" in load({**root, "encoder_recipe": "bert"}).describe_recipes(["encoder"])


class TestOrigins:
    def origins(self, loader):
        return {setting.name: (setting.value, setting.origin) for setting in loader.settings()}

    def test_every_origin(self, load, project):
        write(project, "mine/parameters.yml", "encoder: {optim: {lr: 0.5}}\nencoder_backbone: some/model\n")
        found = self.origins(load({"encoder_text": {"training": {"epochs": 4}}, "seed": 3}, env="mine"))
        assert found["seed"] == (3, "command line")
        assert found["run_name"] == ("", "file conf/base/parameters_comparison.yml")
        assert found["encoder_recipe"] == ("auto (demo)", "file conf/base/parameters_variants.yml")
        assert found["encoder_text.training.epochs"] == (4, "command line")
        assert found["encoder_text.batching.start_epoch"] == (1, "follows training.epochs")
        assert found["encoder_vision.training.epochs"] == (20, "recipe demo")
        assert found["encoder_vision.optim.lr"] == (0.5, "file conf/mine/parameters.yml")
        assert found["encoder_vision.backbone.name"] == ("some/model", "file conf/mine/parameters.yml")
        assert found["encoder_vision.optim.eps"] == (1e-6, "default")
        assert found["encoder_vision.retrieval.kind"] == ("exact", "file conf/base/parameters_variants.yml")
        assert found["vision.model"] == ("tiny", "recipe demo")

    def test_they_say_what_is_in_force(self, load):
        loader = load({"encoder": {"training": {"epochs": 4}}})
        found, parameters = self.origins(loader), loader["parameters"]
        assert {f"encoder_text.{name}" for name in leaves_of(parameters["encoder_text"])} == {
            name for name in found if name.startswith("encoder_text.")
        }
        for name, value in leaves_of(parameters["encoder_text"]).items():
            assert found[f"encoder_text.{name}"][0] == value


class TestStore:
    def test_names(self):
        assert store_name(None, None, "demo") == "demo"
        assert store_name("chosen", "/somewhere/else", "demo") == "chosen"
        assert store_name(None, "/somewhere/my-shop/", "demo") == "my-shop"
        assert store_name(None, None, "amazon", "/somewhere/LF-AmazonTitles-131K") == "amazon"
        assert store_name(None, None, "demo", "/somewhere/LF-AmazonTitles-131K") == "LF-AmazonTitles-131K"
        assert store_name(None, "/mine/demo", "demo") == "demo-user", "the demo's results must not be overwritten"

    def test_raw_folders(self):
        assert raw_folder("demo", None) == "data/01_raw/demo"
        assert raw_folder("x", "/a/b") == "/a/b"
        assert raw_folder("x", None, "/c") == "/c"

    def test_catalogue_and_parameters_agree(self, load, project):
        loader = load({"data_root": "/data/my-shop"})
        assert loader["catalog"]["raw"]["filepath"] == "/data/my-shop"
        assert loader["catalog"]["image_bank"]["filepath"] == "data/04_feature/my-shop/image_bank"
        assert loader["catalog"]["{variant}.model"]["filepath"] == "data/06_models/my-shop/{variant}/model"
        assert loader["parameters"]["dataset"] == "my-shop"
        assert load()["parameters"]["dataset"] == "demo"

    def test_an_environment_names_the_data_set_in_globals(self, load, project):
        write(project, "mine/globals.yml", "dataset: shop\ndata_root: /data/raw-files\n")
        loader = load(env="mine")
        assert loader["parameters"]["dataset"] == "shop"
        assert loader["catalog"]["raw"]["filepath"] == "/data/raw-files"
        assert load({"dataset": "other"}, env="mine")["parameters"]["dataset"] == "other"


def test_parameters_are_read_once(load, monkeypatch):
    """However often they are asked for, also by the catalogue; and no one changes them for the next."""
    read, really = [], ProjectConfigLoader._read_raw_config
    monkeypatch.setattr(
        ProjectConfigLoader, "_read_raw_config", lambda self, key: read.append(key) or really(self, key)
    )
    loader = load({"seed": 3})
    loader["parameters"]["evaluation"].clear()
    assert loader["parameters"]["evaluation"] == load({"seed": 3})["parameters"]["evaluation"] != {}
    assert loader["catalog"]
    assert read.count("parameters") == 2
    loader.runtime_params = {"seed": 4}
    assert loader["parameters"]["seed"] == 4


def test_the_tracking_store_is_absolute_and_belongs_to_the_project(load, project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load()["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{project.as_posix()}/mlflow.db"
    other = tmp_path / "other"
    shutil.copytree(project, other)
    loader = ProjectConfigLoader(str(other / "conf"), **CONFIG_LOADER_ARGS)
    assert loader["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{Path(other).as_posix()}/mlflow.db"


def test_files_of_the_settings_are_relative_to_the_project_as_the_raw_folder_is(load, project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    params = {
        "prediction": {"queries": "new/q.csv", "deny": "/lists/deny.txt", "model": "encoder_text"},
        "encoder_text": {"label_update": {"add": "new/labels.csv"}},
        "data_root": "new",
    }
    loader = load(params)
    found = loader["parameters"]
    assert found["prediction"]["queries"] == f"{project.as_posix()}/new/q.csv"
    assert found["prediction"]["deny"] == "/lists/deny.txt"
    assert found["prediction"]["model"] == "encoder_text"
    assert found["prediction"]["exclude"] is None
    assert found["encoder_text"]["label_update"]["add"] == f"{project.as_posix()}/new/labels.csv"
    assert load()["parameters"]["prediction"]["queries"] is None


def leaves_of(section):
    return flatten(section)


def leaves(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix}
    return {name for key, below in value.items() for name in leaves(below, f"{prefix}.{key}")}
