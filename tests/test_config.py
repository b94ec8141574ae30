import shutil
from pathlib import Path

import pytest

from vixml.config import ProjectConfigLoader, raw_folder, store_name
from vixml.params.variant import VariantParams
from vixml.settings import CONFIG_LOADER_ARGS


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
        assert epochs(load({"encoder": {"training": {"epochs": 6}}}, env="mine"))["encoder_text"] == 6
        assert loader["parameters"]["encoder_text"]["backbone"]["name"] == "some/model"
        assert loader["parameters"]["encoder_text"]["optim"] == load()["parameters"]["encoder_text"]["optim"]

    def test_base_sections_are_complete_and_valid(self, load):
        parameters = load()["parameters"]
        for name in ("encoder", "decoder"):
            written, known = leaves(parameters[name]), leaves(VariantParams().model_dump())
            assert written == known, f"{name}: the YAML and the parameter models hold different fields"
        for name in ("encoder_text", "encoder_vision", "decoder_text", "decoder_vision"):
            variant = VariantParams.model_validate(parameters[name])
            assert variant.model.use_images == name.endswith("vision")
            assert name.startswith(variant.backbone.family)


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


def test_the_tracking_store_is_absolute_and_belongs_to_the_project(load, project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load()["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{project.as_posix()}/mlflow.db"
    other = tmp_path / "other"
    shutil.copytree(project, other)
    loader = ProjectConfigLoader(str(other / "conf"), **CONFIG_LOADER_ARGS)
    assert loader["mlflow"]["server"]["mlflow_tracking_uri"] == f"sqlite:///{Path(other).as_posix()}/mlflow.db"


def leaves(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix}
    return {name for key, below in value.items() for name in leaves(below, f"{prefix}.{key}")}
