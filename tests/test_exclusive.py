"""Two runs: those of different outputs run side by side, of the same outputs the second one ends at once."""

import os

import pytest
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from tests.test_hooks import SMALL

from vixml.claims.claim import claim
from vixml.core.errors import DataError, StateError
from vixml.exclusive import written_by
from vixml.pipeline_registry import register_pipelines


@pytest.fixture
def claims_of(project):
    """The claims' folder of the demo's data."""
    return project / "data/02_intermediate/demo/.claims"


@pytest.fixture
def writes(project):
    """What a pipeline would write in the project, by its name."""
    bootstrap_project(project)
    with settings.SESSION_CLASS.create(project_path=project) as session:
        catalog = session.load_context().catalog
    return lambda name: written_by(register_pipelines()[name], catalog)


def test_the_second_run_ends_at_once_and_a_run_that_failed_holds_nothing(kedro_run, project, claims_of):
    raw = {str(project / "data/01_raw/demo"): "raw"}
    first = claim(claims_of, raw, "kedro run --pipelines=fabrication")
    with pytest.raises(StateError, match=f"another run is writing raw.*process {os.getpid()} on .*since 20"):
        kedro_run("fabrication", params=SMALL)
    assert not (project / "data/01_raw").exists()
    assert not (project / "data/08_reporting").exists()  # no status of a run that did not begin
    first.release()
    with pytest.raises(DataError):
        kedro_run("ingestion")
    kedro_run("fabrication", params=SMALL)
    claim(claims_of, raw, "kedro run").release()


def test_variants_run_side_by_side(writes):
    encoder, decoder = writes("encoder_text"), writes("decoder_text")
    assert not set(encoder) & set(decoder)
    assert {"encoder_text.model", "encoder_text.runs", "encoder_text.run_records"} <= set(encoder.values())


@pytest.mark.parametrize(
    ("one", "other"),
    [("study", "ingestion"), ("training", "encoder_vision"), ("evaluation", "index_report"), ("prediction",) * 2],
)
def test_what_shares_an_output_or_a_folder_to_work_in_does_not(writes, one, other):
    assert set(writes(one)) & set(writes(other))


def test_private_folders_count_too(writes):
    assert any(name.startswith("the work of ") for name in writes("image_download").values())
