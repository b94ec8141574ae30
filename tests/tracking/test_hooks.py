import importlib.util
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.pipeline import node, pipeline

from vixml.core.directories import WorkDirectory
from vixml.params.variant import VariantParams
from vixml.tracking.hooks import CURVE_FILE, TrackingHooks

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
        extra[f"{name}.training_work"] = WorkDirectory(tmp_path / name)
    return extra


def test_one_variant_is_one_run_with_parameters_curve_and_metrics(client, experiment, runs_of, tmp_path):
    config = harness.configuration(client, experiment)
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
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics["P_at_1"] == 0.25
    assert run.data.metrics["seconds.training"] == 2.5
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [p.step for p in client.get_metric_history(run.info.run_id, "validation/P_at_1")] == [3]
    assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["reports"]


def test_kedro_mlflow_is_told_to_stay_out(client, experiment, tmp_path):
    config = harness.configuration(client, experiment)
    chain = harness.variant_pipeline("encoder_text", evaluate)
    extra = inputs(tmp_path, "encoder_text")
    harness.drive(TrackingHooks(), config, chain, names=("a", "b"), folder=tmp_path, extra=extra)
    assert config.tracking.disable_tracking.pipelines == ["a", "b"]


def test_several_variants_are_nested_under_one_parent(client, experiment, runs_of, tmp_path):
    names = ("encoder_text", "decoder_vision")
    chain = pipeline([harness.variant_pipeline(name, train, evaluate) for name in names])
    config = harness.configuration(client, experiment)
    harness.drive(
        TrackingHooks(), config, chain, names=("__default__",), folder=tmp_path, extra=inputs(tmp_path, *names)
    )
    runs = runs_of()
    assert set(runs) == {"default", *names}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs["default"].info.run_id
    assert all(runs[name].data.tags["mlflow.parentRunId"] == parent for name in names)


def test_an_error_leaves_failed_runs(client, experiment, runs_of, tmp_path):
    chain = harness.variant_pipeline("encoder_text", train, fail)
    config = harness.configuration(client, experiment)
    with pytest.raises(ValueError, match="out of ideas"):
        harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    run = runs_of()["encoder_text"]
    assert run.info.status == "FAILED"
    assert run.data.metrics["loss"] == pytest.approx(1 / 3)


def test_a_pipeline_without_variants_is_not_tracked(client, experiment, runs_of, tmp_path):
    chain = pipeline([node(lambda seed: seed, inputs="params:seed", outputs="out", name="plain")])
    harness.drive(TrackingHooks(), harness.configuration(client, experiment), chain, folder=tmp_path)
    assert not runs_of()


class Dead:
    """A tracking server that answers nothing."""

    def __getattr__(self, name):
        def refuse(*_, **__):
            raise ConnectionError("nobody is there")

        return refuse


class Dying(Dead):
    """A server that opens runs and then goes away."""

    def create_run(self, *_, **__):
        return SimpleNamespace(info=SimpleNamespace(run_id="1"))


@pytest.mark.parametrize("server", [Dead(), Dying()])
def test_a_dead_server_stops_nothing_and_is_reported_once(server, tmp_path, caplog):
    done = []

    def last(params, work, *_):
        done.append(True)
        return evaluate(params, work)

    chain = harness.variant_pipeline("encoder_text", train, last)
    config = harness.configuration(server, "0")
    harness.drive(TrackingHooks(), config, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))
    assert done == [True]
    assert len([r for r in caplog.records if "MLflow does not take" in r.getMessage()]) == 1


def test_without_kedro_mlflow_nothing_is_tracked(tmp_path):
    chain = harness.variant_pipeline("encoder_text", evaluate)
    harness.drive(TrackingHooks(), None, chain, folder=tmp_path, extra=inputs(tmp_path, "encoder_text"))


def test_sigterm_ends_the_process_and_marks_its_runs_killed(client, experiment, runs_of, tmp_path):
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
            from mlflow import MlflowClient

            def killed(params, work, *_):
                tests.train(params, work)
                os.kill(os.getpid(), signal.SIGTERM)
                raise AssertionError("still alive")

            folder = Path({str(tmp_path)!r})
            harness.drive(
                tests.TrackingHooks(),
                harness.configuration(MlflowClient({client.tracking_uri!r}), {experiment!r}),
                harness.variant_pipeline("encoder_text", killed, tests.evaluate),
                folder=folder,
                extra=tests.inputs(folder, "encoder_text"),
            )
            """
        )
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    run = runs_of()["encoder_text"]
    assert run.info.status == "KILLED"
    assert run.data.metrics["loss"] == pytest.approx(1 / 3)
