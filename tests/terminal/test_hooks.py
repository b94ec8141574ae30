"""What a run prints at the end of each stage and at its own end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from vixml.core.directories import Built
from vixml.core.progress import subject
from vixml.terminal.hooks import TerminalHooks

METRICS = {"dataset": "shop", "queries": 80, "metrics": {"P@1": 0.5, "R@10": 0.75}}


class Catalog:
    """Data sets below `project`, each where its name says."""

    def __init__(self, project: Path, **values) -> None:
        self.project, self.values = project, values

    def get(self, name):
        return SimpleNamespace(_filepath=(self.project / "data" / name.replace(".", "/")).as_posix())

    def load(self, name):
        return self.values[name]


@pytest.fixture
def hooks(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    hooks = TerminalHooks()
    hooks.after_context_created(
        SimpleNamespace(project_path=tmp_path, config_loader=SimpleNamespace(conf_source="conf"))
    )
    return hooks


def end(hooks, catalog, *made, env=None, params=None):
    hooks.before_pipeline_run(catalog)
    pipeline = SimpleNamespace(all_outputs=lambda: set(made))
    hooks.after_pipeline_run({"env": env, "runtime_params": params or {}}, pipeline, catalog)


def node_of(namespace, *outputs):
    return SimpleNamespace(name=f"{namespace}.tokenise", namespace=namespace, outputs=list(outputs))


def test_a_stage_is_one_line_after_its_last_output(hooks, tmp_path, caplog):
    caplog.set_level("INFO")
    node = node_of("encoder_text", "encoder_text.tokens", "other")
    hooks.before_pipeline_run(Catalog(tmp_path))
    hooks.before_node_run(node)
    hooks.after_node_run({"encoder_text.tokens": Built(Path(), "tokens", {"train": {"texts": 1200, "tokens": 9}})})
    hooks.after_dataset_saved("other", node)
    assert len(caplog.messages) == 1  # that it runs: shown on a terminal only, until the next line
    hooks.after_dataset_saved("encoder_text.tokens", node)
    assert caplog.messages[1] == "encoder_text.tokenise: 1,200 texts, 9 tokens -> data/encoder_text/tokens (0 s)"


@pytest.mark.parametrize("ending", [lambda hooks: hooks.after_node_run({}), lambda hooks: hooks.on_node_error()])
@pytest.mark.parametrize(("namespace", "named"), [("encoder_text", "encoder_text"), ("data", ""), (None, "")])
def test_progress_names_the_variant_while_its_stage_runs(hooks, namespace, named, ending):
    hooks.before_node_run(node_of(namespace, "tokens"))
    try:
        assert subject.get() == named
    finally:
        ending(hooks)
    assert subject.get() == ""


def test_a_run_of_one_variant_prints_its_metrics_and_what_to_type(hooks, tmp_path, capsys):
    catalog = Catalog(tmp_path, **{"encoder_text.metrics": METRICS})
    end(
        hooks,
        catalog,
        "encoder_text.metrics",
        env="shop",
        params={"encoder": {"training": {"epochs": 3}}, "resume": "never"},
    )
    printed = capsys.readouterr().out
    assert "resume" not in printed
    assert "encoder_text (shop, 80 test queries): P@1 50.00 %, R@10 75.00 %" in printed
    assert "data/encoder_text/metrics" in printed
    assert "kedro run --pipeline=comparison --env=shop --params encoder.training.epochs=3" in printed
    assert "vixml serve --model data/encoder_text\n" in printed
    assert "kedro mlflow ui --env=shop" in printed  # no Makefile here


def test_without_a_project_only_commands_that_work_are_named(hooks, tmp_path, capsys):
    """As for an installed package: `kedro viz` and `kedro mlflow` do not exist outside a project."""
    (tmp_path / "pyproject.toml").unlink()
    end(hooks, Catalog(tmp_path, **{"encoder_text.metrics": METRICS}), "encoder_text.metrics", env="shop")
    printed = capsys.readouterr().out
    assert "vixml run --conf-source=conf --pipeline=comparison --env=shop" in printed
    assert "mlflow ui --backend-store-uri sqlite:" in printed
    assert "kedro" not in printed


def test_of_equal_variants_the_first_one_of_the_table_is_to_be_asked(hooks, tmp_path, capsys):
    names = ("decoder_vision", "encoder_vision")
    end(hooks, Catalog(tmp_path, **{f"{name}.metrics": METRICS for name in names}), *(f"{n}.metrics" for n in names))
    assert "vixml serve --model data/encoder_vision\n" in capsys.readouterr().out


def test_of_variants_equal_at_p_at_1_the_better_one_elsewhere_is_to_be_asked(hooks, tmp_path, capsys):
    better = {**METRICS, "metrics": {"P@1": 0.5, "R@10": 0.8}}
    values = {"encoder_text.metrics": METRICS, "encoder_vision.metrics": better}
    end(hooks, Catalog(tmp_path, **values), *values)
    assert "vixml serve --model data/encoder_vision\n" in capsys.readouterr().out


def test_a_makefile_makes_the_commands_shorter(hooks, tmp_path, capsys):
    (tmp_path / "Makefile").touch()
    catalog = Catalog(tmp_path, **{"encoder_text.metrics": METRICS})
    end(hooks, catalog, "encoder_text.metrics", env="shop")
    assert 'make viz ARGS="--env=shop"' in capsys.readouterr().out


def test_a_prediction_names_its_file(hooks, tmp_path, capsys):
    end(hooks, Catalog(tmp_path, prediction_report={"file": "predictions.csv"}), "prediction", "prediction_report")
    assert "data/prediction/predictions.csv" in capsys.readouterr().out


def test_updated_labels_are_to_be_tried(hooks, tmp_path, capsys):
    end(hooks, Catalog(tmp_path), "encoder_text.updated_predictor")
    assert "vixml serve --model data/encoder_text/updated_predictor" in capsys.readouterr().out


def test_clean_data_are_to_be_trained_on(hooks, tmp_path, capsys):
    end(hooks, Catalog(tmp_path), "dataset", params={"data_root": "/data/my shop"})
    assert "kedro run --pipeline=study --params 'data_root=/data/my shop'" in capsys.readouterr().out


def test_a_run_without_anything_to_look_at_ends_quietly(hooks, tmp_path, capsys):
    end(hooks, Catalog(tmp_path), "sync_report")
    assert "Next" not in capsys.readouterr().out
