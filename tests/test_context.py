"""What the catalogue of a run holds of the parameters."""

from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import node, pipeline

from vixml import context


def parameters_of(project):
    bootstrap_project(project)
    with settings.SESSION_CLASS.create(project_path=project) as session:
        catalog = session.load_context().catalog
        return {name: catalog.load(name) for name in catalog if name.startswith("params:")}


def test_sections_are_there_as_wholes(project):
    found = parameters_of(project)
    assert {"params:encoder_text", "params:decoder_vision", "params:data", "params:seed"} <= found.keys()
    assert [name for name in found if "." in name] == []


def test_a_setting_within_a_section_is_there_where_a_pipeline_reads_it(project, monkeypatch):
    name = "params:evaluation.top_k"
    reading = {"mine": pipeline([node(lambda value: value, name, "shown", name="show")])}
    monkeypatch.setattr(context, "register_pipelines", lambda: reading)
    found = parameters_of(project)
    assert {name: found[name] for name in found if "." in name} == {name: found["params:evaluation"].top_k}
