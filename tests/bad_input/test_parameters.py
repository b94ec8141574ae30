"""Parameters that are not as they should be (docs/reference/bad_input.md)."""

from __future__ import annotations

from kedro.runner import ThreadRunner
from tests.bad_input.rows import error


@error("pipeline-unknown")
def test_pipeline_unknown(at):
    at.fixture("kedro_run")("encoder_txt")


@error("node-unknown")
def test_node_unknown(at):
    at.fixture("kedro_run")("encoder_text", node_names=["train_softly"])


@error("seed-wrong")
def test_seed_wrong(at):
    at.fixture("kedro_run")("ingestion", params={"seed": "abc"})


@error("key-unknown-top")
def test_key_unknown_top(at):
    at.fixture("kedro_run")("ingestion", params={"evaluaton": {"top_k": 5}})


@error("key-unknown-group")
def test_key_unknown_group(at):
    at.fixture("kedro_run")("ingestion", params={"encoder": {"trainin": {"epochs": 5}}})


@error("key-unknown")
def test_key_unknown(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder_text": {"training": {"epoch": 5}}})


@error("type-wrong")
def test_type_wrong(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder_text": {"training": {"epochs": "many"}}})


@error("value-out-of-range")
def test_value_out_of_range(at):
    at.fixture("kedro_run")("ingestion", params={"data": {"validation_fraction": 1.5}})


@error("settings-contradict")
def test_settings_contradict(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder": {"batching": {"mined_per_query": 60}}})


@error("stages-out-of-order")
def test_stages_out_of_order(at):
    both = {"training": {"epochs": 3}, "batching": {"start_epoch": 5}}
    at.fixture("kedro_run")("encoder_text", params={"encoder": both})


@error("environment-unknown")
def test_environment_unknown(at):
    at.fixture("kedro_run")("ingestion", env="lf_amazn_131k")


@error("runner-other")
def test_runner_other(at):
    at.fixture("kedro_run")("ingestion", runner=ThreadRunner())


@error("nothing-to-compare")
def test_nothing_to_compare(at):
    at.fixture("kedro_run")("comparison")
