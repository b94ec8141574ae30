"""The hooks of a run: start-up checks, tracking, work folders, and what a stopped or failed run says."""

import importlib.util
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kedro.pipeline import node, pipeline

from vixml.core.directories import SealedDirectory
from vixml.params.variant import VariantParams
from vixml.tracking.hooks import CURVE_FILE, TrackingHooks
from vixml.tracking.store import REPLACED

_SPEC = importlib.util.spec_from_file_location("tracking_harness", Path(__file__).with_name("conftest.py"))
harness = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(harness)


def train(params, work, *_):
    records = [{"step": step, "epoch": 1, "loss": 1 / step} for step in (1, 2, 3)]
    lines = map(json.dumps, [*records, {"step": 3, "epoch": 1, "validation/P@1": 0.5}])
    (work.path / CURVE_FILE).write_text("\n".join([*lines, '{"torn']))
    return "trained"


def evaluate(params, work, *_):
    return {"variant": "x", "metrics": {"P@1": 0.25, "nDCG@5": 0.5}, "seconds": {"training": 2.5}, "num_parameters": 10}


def fail(params, work, *_):
    raise ValueError("out of ideas")


def inputs(tmp_path, *names):
    extra = {}
    for name in names:
        (tmp_path / name).mkdir()
        extra[f"params:{name}"] = VariantParams()
    return extra


def test_one_variant_is_one_run_with_parameters_curve_and_metrics(config, client, experiment, runs_of, tmp_path):
    chain = harness.variant_pipeline("encoder_text", train, evaluate)
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))

    assert set(runs_of()) == {"encoder_text"}
    run = runs_of()["encoder_text"]
    assert run.info.status == "FINISHED"
    assert run.data.params["backbone.name"] == "tiny"
    assert run.data.params["model.prototype.num_heads"] == "8"
    assert run.data.params["seed"] == "7"
    assert run.data.tags["variant"] == "encoder_text"
    assert run.data.tags["dataset"] == "toy"
    assert run.data.tags["backbone"] == "tiny"
    assert "version.kedro" in run.data.tags
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("toy", run.data.tags["data.fingerprint"])
    assert run.data.tags["mlflow.note.content"].startswith("Data set toy.\n\n| test, percent |")
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics["P_at_1"] == 0.25
    assert next(iter(run.data.metrics)) == "P_at_1", "MLflow's comparison opens on the metric that was logged first"
    assert run.data.metrics["seconds.training"] == 2.5
    curve = client.get_metric_history(run.info.run_id, "epoch/loss")
    assert [(point.step, point.value) for point in curve] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [p.step for p in client.get_metric_history(run.info.run_id, "validation/P_at_1")] == [3]
    assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["reports"]


def test_kedro_mlflow_reads_its_configuration_from_the_context(config, tmp_path):
    chain = harness.variant_pipeline("encoder_text", evaluate)
    context = harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    assert context.mlflow.server.mlflow_tracking_uri == config["server"]["mlflow_tracking_uri"]
    assert context.mlflow.ui.port == "5000"


def test_several_variants_are_nested_under_one_parent(config, runs_of, tmp_path):
    names = ("encoder_text", "decoder_vision")
    chain = pipeline([harness.variant_pipeline(name, train, evaluate) for name in names])
    harness.drive(
        TrackingHooks(), config, chain, names=("__default__",), folder=tmp_path, extra=inputs(tmp_path, *names)
    )
    runs = runs_of()
    assert set(runs) == {"default", *names}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs["default"].info.run_id
    assert all(runs[name].data.tags["mlflow.parentRunId"] == parent for name in names)
    assert {input.dataset.name for run in runs.values() for input in run.inputs.dataset_inputs} == {"toy"}
    assert [len(run.inputs.dataset_inputs) for run in runs.values()] == [1, 1, 1]


def test_an_error_leaves_failed_runs(config, runs_of, tmp_path):
    chain = harness.variant_pipeline("encoder_text", train, fail)
    with pytest.raises(ValueError, match="out of ideas"):
        harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    run = runs_of()["encoder_text"]
    assert run.info.status == "FAILED"
    assert run.data.metrics["epoch/loss"] == pytest.approx(1 / 3)


def test_a_pipeline_without_variants_is_not_tracked(config, runs_of, tmp_path):
    chain = pipeline([node(lambda seed: seed, inputs="params:seed", outputs="out", name="plain")])
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path)
    assert not runs_of()


def test_without_a_configuration_nothing_is_tracked(tmp_path):
    chain = harness.variant_pipeline("encoder_text", evaluate)
    harness.drive(TrackingHooks(), None, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    assert not (tmp_path / "encoder_text" / "run_records.json").exists()


@pytest.mark.parametrize("how", ["switched off", "pipeline"])
def test_tracking_can_be_switched_off(config, runs_of, tmp_path, how):
    if how == "pipeline":
        config["tracking"]["disable_tracking"] = {"pipelines": ["toy"]}
    else:
        config["vixml"]["enabled"] = False
    chain = harness.variant_pipeline("encoder_text", evaluate)
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    assert not runs_of()


def test_the_model_is_registered_where_it_is_with_its_metrics(config, client, experiment, runs_of, tmp_path):
    def evaluate_model(params, model):
        return evaluate(params, None)

    chain = pipeline(
        [node(evaluate_model, ["params:variant", "model"], "metrics", name="evaluate")],
        namespace="encoder_text",
        parameters={"params:variant": "params:encoder_text"},
    )
    model = SealedDirectory(Path("data/model"), "model", {"parameters": 10, "epochs": 3}, {"w": {"sha256": "1"}})
    extra = {**inputs(tmp_path, "encoder_text"), "encoder_text.model": model}
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=extra)
    run = runs_of()["encoder_text"]
    (logged,) = client.search_logged_models([experiment])
    assert logged.source_run_id == run.info.run_id
    assert logged.status == "READY"
    assert logged.params["path"] == "data/model"
    assert logged.params["epochs"] == "3"
    assert {m.key: m.value for m in logged.metrics}["P_at_1"] == 0.25
    assert [m.model_id for m in run.outputs.model_outputs] == [logged.model_id]
    assert "| encoder_text | 25.00 | 50.00 |" in run.data.tags["mlflow.note.content"]
    assert REPLACED not in logged.tags

    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=extra)
    newer, older = client.search_logged_models([experiment])
    assert older.model_id == logged.model_id
    assert older.tags[REPLACED] == newer.model_id, "its folder holds the newer one"
    assert REPLACED not in newer.tags


def test_secrets_do_not_reach_the_store(config, runs_of, tmp_path):
    chain = harness.variant_pipeline("encoder_text", evaluate)
    extra = {
        **inputs(tmp_path, "encoder_text"),
        "params:data": {"hub": {"token": "s3cret"}, "url": "https://me:s3cret@example.org/x?sig=s3cret"},
        "params:dataset": "https://me:s3cret@example.org",
    }
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=extra)
    run = runs_of()["encoder_text"]
    assert "s3cret" not in str(run.to_dictionary())
    assert run.data.params["data.url"] == "https://***@example.org/x?sig=***"


def test_sigterm_ends_the_process_and_marks_its_runs_killed(config, runs_of, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import importlib.util, os, signal, sys
            from pathlib import Path

            def load(name, path):
                spec = importlib.util.spec_from_file_location(name, path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module

            harness = load("harness", {str(Path(__file__).with_name("conftest.py"))!r})
            tests = load("tests", {str(Path(__file__))!r})

            def killed(params, work, *_):
                tests.train(params, work)
                os.kill(os.getpid(), signal.SIGTERM)
                raise AssertionError("still alive")

            folder = Path({str(tmp_path)!r})
            harness.drive(
                tests.TrackingHooks(),
                {config!r},
                harness.variant_pipeline("encoder_text", killed, tests.evaluate),
                folder=folder,
                extra=tests.inputs(folder, "encoder_text"),
            )
            """
        )
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    run = runs_of()["encoder_text"]
    assert run.info.status == "KILLED"
    assert run.data.metrics["epoch/loss"] == pytest.approx(1 / 3)


def test_the_hook_of_kedro_mlflow_is_off(repository):
    """It asks the server at every start; a misspelt plugin name in settings.py would let it."""
    from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks_entry_points

    from vixml.settings import DISABLE_HOOKS_FOR_PLUGINS

    manager = _create_hook_manager()
    _register_hooks_entry_points(manager, ())
    assert any(type(plugin).__module__.startswith("kedro_mlflow") for plugin in manager.get_plugins())
    manager = _create_hook_manager()
    _register_hooks_entry_points(manager, DISABLE_HOOKS_FOR_PLUGINS)
    assert not any(type(plugin).__module__.startswith("kedro_mlflow") for plugin in manager.get_plugins())
