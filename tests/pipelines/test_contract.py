"""Contracts between pipelines, catalogue, parameters and folders: what a typo would break is caught here."""

import inspect
import typing
from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from vixml.config import ProjectConfigLoader
from vixml.configuration.compose import ABLATION, ALL_VARIANTS, TOP_LEVEL, VARIANTS
from vixml.pipeline_registry import register_pipelines
from vixml.settings import CONFIG_LOADER_ARGS

PIPELINES = register_pipelines()
LAYERS = {
    "raw": "01_raw",
    "intermediate": "02_intermediate",
    "primary": "03_primary",
    "feature": "04_feature",
    "model_input": "05_model_input",
    "models": "06_models",
    "model_output": "07_model_output",
    "reporting": "08_reporting",
}
INGESTED = {"dataset", "data_report", "data_summary", "label_frequency_plot", "picture_sheet"}
IMAGES = {"image_bank", "image_report"}
TRAINING = {"tokens", "warmup", "hard_negatives", "model", "curve", "refreshes"}
EVALUATION = {"embeddings", "index", "evidence", "predictor", "metrics", "predictions", "runs"}
COMPARISON = {
    *(f"comparison_{name}" for name in ("table", "report", "plot", "markdown", "latex")),
    "baseline_metrics",
    "report_html",
    "regression_check",
}


# These lie where one looks for them and are drawn beside what they come from; the catalogue says why.
DRAWN_ELSEWHERE = {
    **dict.fromkeys(("predictor", "updated_predictor"), "models"),
    **dict.fromkeys(("data_report", "data_summary", "label_frequency_plot", "picture_sheet"), "reporting"),
    **dict.fromkeys(("image_report", "metrics", "runs"), "reporting"),
}


STUDENT = "encoder_text"


def of(variants, names):
    return {f"{variant}.{name}" for variant in variants for name in names}


INPUTS = {
    "fabrication": set(),
    "image_download": {"raw"},
    "ingestion": {"raw"},
    "image_embedding": {"raw", "dataset"},
    "training": {"dataset", "image_bank"},
    "comparison": of(VARIANTS, ["runs"]) | {"raw", "dataset", "data_report", "image_bank"},
    "ablation": {"raw", "dataset", "data_report", "image_bank"},
    "index_report": of(VARIANTS, ["embeddings"]),
    "label_audit": of(VARIANTS, ["hard_negatives"]) | {"raw", "dataset", "image_bank"},
    "teaching": of([name for name in VARIANTS if name != STUDENT], ["embeddings"]) | {"dataset", "image_bank"},
    "distillation": {"dataset", "soft_labels"},
    "label_update": of(VARIANTS, ["predictor"]),
    "study": {"raw"},
    "prediction": of(VARIANTS, ["predictor"]),
    "sync_tracking": of(ALL_VARIANTS, ["run_records", "metrics"]),
    "__default__": set(),
}
OUTPUTS = {
    "fabrication": {"raw"},
    "image_download": {"download_report", "download_failures"},
    "ingestion": INGESTED,
    "image_embedding": IMAGES,
    "training": of(VARIANTS, TRAINING),
    "hard_negative_refresh": of(VARIANTS, ["hard_negatives"]),
    "evaluation": of(VARIANTS, EVALUATION),
    **{name: of([name], TRAINING | EVALUATION) for name in VARIANTS},
    "comparison": COMPARISON,
    "ablation": of(ABLATION, TRAINING | EVALUATION)
    | of(["ablation"], COMPARISON - {"baseline_metrics"})
    | {"baseline_metrics"},
    "index_report": of(VARIANTS, ["index_report", "index_table", "index_plot"]),
    "label_audit": {"label_audit_table", "label_audit_report", "label_audit_html"},
    "teaching": {"soft_labels"},
    "distillation": of([STUDENT], TRAINING | EVALUATION),
    "label_update": of(VARIANTS, ["updated_predictor", "label_update_report"]),
    "prediction": {"prediction", "prediction_report"},
    "sync_tracking": {*of(ALL_VARIANTS, ["sync_report"]), "sync_report"},
    "study": INGESTED | IMAGES | of(VARIANTS, TRAINING | EVALUATION) | COMPARISON,
}


def data(names):
    return {name for name in names if not name.startswith("params:")}


@pytest.fixture
def loader(repository):
    return ProjectConfigLoader(str(repository / "conf"), **CONFIG_LOADER_ARGS)


@pytest.fixture
def catalog(loader):
    return DataCatalog.from_config(loader["catalog"])


@pytest.mark.parametrize("name", INPUTS)
def test_free_inputs_are_the_declared_ones(name):
    assert data(PIPELINES[name].inputs()) == INPUTS[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_text_variant_needs_no_image_bank(name):
    assert data(PIPELINES[name].inputs()) == ({"dataset", "image_bank"} if name.endswith("_vision") else {"dataset"})


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_the_declared_ones(name):
    assert data(PIPELINES[name].all_outputs()) == OUTPUTS[name]


def test_every_data_set_is_in_the_catalogue_and_has_one_file(catalog):
    """A misspelt name would silently become a data set in memory."""
    names = {name for pipeline in PIPELINES.values() for name in pipeline.datasets() if not name.startswith("params:")}
    assert sorted(name for name in names if name not in catalog) == []
    places = [str(catalog.get(name)._filepath) for name in sorted(names)]
    assert len(set(places)) == len(places)


def test_every_catalogue_entry_is_used(loader, catalog):
    names = {name for pipeline in PIPELINES.values() for name in pipeline.datasets() if not name.startswith("params:")}
    entries = set(loader["catalog"])
    used = {name if name in entries else catalog.config_resolver.match_dataset_pattern(name) for name in names}
    assert entries - used == {"work"}  # of the hook that hands nodes their folders


def test_every_entry_has_a_layer_and_lives_in_its_folder(loader):
    for name, entry in loader["catalog"].items():
        layer = entry["metadata"]["kedro-viz"]["layer"]
        folder, store = Path(entry["filepath"]).parts[1:3]
        place = DRAWN_ELSEWHERE.get(name.removeprefix("{variant}."), layer)
        assert folder == LAYERS[place], name
        assert store == "demo", name


def test_layers_form_no_circle(catalog):
    """Kedro-Viz shows no layers at all where they do."""
    order = list(LAYERS)
    for node in PIPELINES["__default__"].nodes:
        inputs = [layer_of(catalog, name) for name in node.inputs if not name.startswith("params:")]
        for name in node.outputs:
            after = order.index(layer_of(catalog, name))
            assert max(map(order.index, inputs), default=0) <= after, f"{node.name}: {name} lies before its inputs"
    # Kedro-Viz draws a namespace as one box at first: what goes into the box must not lie behind what comes out
    for name, pipeline in PIPELINES.items():
        for namespace in {node.namespace for node in pipeline.nodes if node.namespace}:
            box = Pipeline([node for node in pipeline.nodes if node.namespace == namespace])
            inputs = {layer_of(catalog, data) for data in box.inputs() if not data.startswith("params:")}
            outputs = {layer_of(catalog, data) for data in box.outputs()}
            last, first = max(map(order.index, inputs), default=0), min(map(order.index, outputs), default=99)
            assert last <= first, f"{name}: a circle around {namespace}"


def layer_of(catalog, name):
    return catalog.get(name).metadata["kedro-viz"]["layer"]


@pytest.mark.parametrize("name", ["__default__", "study"])
def test_the_whole_line_fits_on_one_screen(name):
    """What Kedro-Viz draws at first: a box a namespace, what goes in and what comes out; 30 of them are legible."""
    pipeline = PIPELINES[name]
    free = {node.name for node in pipeline.nodes if not node.namespace}
    boxes = {node.namespace for node in pipeline.nodes if node.namespace}
    assert boxes == {"data", *VARIANTS, "comparison"}
    drawn = set()
    for box in boxes:
        inside = Pipeline([node for node in pipeline.nodes if node.namespace == box])
        outside = Pipeline([node for node in pipeline.nodes if node.namespace != box])
        drawn |= data(inside.inputs() | inside.outputs() | (outside.inputs() & inside.all_outputs()))
    assert len(free | boxes | drawn) <= 30
    assert not [name for name in drawn if name.endswith("work")]


def test_every_layer_has_its_folder(repository):
    assert {p.name for p in (repository / "data").iterdir() if p.is_dir()} >= set(LAYERS.values())


def test_every_parameter_exists(loader):
    parameters = loader["parameters"]
    names = {n for pipeline in PIPELINES.values() for n in pipeline.datasets() if n.startswith("params:")}
    assert sorted(name for name in names if name.removeprefix("params:").split(".")[0] not in parameters) == []
    assert all("." not in name for name in names), "nodes take whole sections: their models check them"


def test_every_parameter_is_known_and_every_known_one_is_there(loader):
    assert set(loader["parameters"]) == set(TOP_LEVEL)


def nodes():
    return {node.name: node for pipeline in PIPELINES.values() for node in pipeline.nodes}.values()


def test_annotations_of_nodes_resolve_so_that_kedro_validates_parameters():
    """With a name that is imported for type checkers only, Kedro passes plain dictionaries and only warns."""
    for node in nodes():
        assert typing.get_type_hints(node.func)["return"], node.name


def test_sections_of_parameters_are_typed_and_the_yaml_is_valid(loader):
    sections = {}
    for node in nodes():
        hints, names = typing.get_type_hints(node.func), list(inspect.signature(node.func).parameters)
        for argument, name in zip(names, node.inputs, strict=False):
            kind = hints[argument]
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                assert name.startswith("params:"), f"{node.name}: {argument} gets {name}"
                sections[name.removeprefix("params:")] = kind
            elif name.startswith("params:"):
                assert kind in (int, str), f"{node.name}: {name} is not typed"
    assert set(sections) == {
        "fabrication",
        "data",
        "vision",
        "evaluation",
        "baselines",
        "prediction",
        *ALL_VARIANTS,
    } | {
        "download",
        "index_report",
        "label_audit",
        "distillation",
        "label_update",
        "comparison",
    }
    for name, kind in sections.items():
        kind.model_validate(loader["parameters"][name])
        assert leaves(loader["parameters"][name]) == leaves(kind().model_dump()), f"{name}: a field is not in the YAML"


def leaves(value, prefix=""):
    if not isinstance(value, dict):
        return {prefix}
    return {name for key, below in value.items() for name in leaves(below, f"{prefix}.{key}")}


def test_nodes_are_short():
    for node in nodes():
        lines, _ = inspect.getsourcelines(node.func)
        body = inspect.getsource(node.func).split('"""')[-1]
        assert len(lines) <= 45, node.name
        assert body.count("\n") <= 25, f"{node.name}: logic belongs into the library"


def test_every_package_folder_has_an_init(repository):
    """`kedro package` drops folders without one."""
    folders = {p.parent for p in (repository / "src" / "vixml").rglob("*.py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_files_are_not_long(repository):
    for file in (repository / "src").rglob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) < 400, file
