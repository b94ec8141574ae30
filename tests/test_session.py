"""What the session refuses before anything runs, and how it shows what is wrong."""

import logging
import sys

import pytest
from kedro.framework.project import pipelines
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner
from kedro.validation.exceptions import ParameterValidationError

from vixml import session
from vixml.core.errors import ConfigError


@pytest.mark.parametrize(
    "runner", [ThreadRunner(), ParallelRunner(), SequentialRunner(is_async=True)], ids=lambda one: type(one).__name__
)
def test_other_runners_are_refused_before_anything_runs(kedro_run, project, runner):
    with pytest.raises(ConfigError, match=f"one after another.*Found: {type(runner).__name__}"):
        kedro_run("fabrication", runner=runner)
    assert not (project / "data").exists()
    assert not (project / "logs").exists()


def test_a_process_runs_one_pipeline_at_a_time(kedro_run, project):
    """The hooks, and what libraries keep for all threads, serve one run."""
    with session._AT_WORK, pytest.raises(ConfigError, match="a separate process"):
        kedro_run("fabrication")
    assert not (project / "data").exists()
    assert session._AT_WORK.acquire(blocking=False)
    session._AT_WORK.release()


def test_who_interrupts_a_run_is_told_how_to_go_on(kedro_run, project, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("kedro.framework.session.KedroSession.run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kedro_run("fabrication")
    assert "What is complete stays" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"encoder": {"optim": {"lr": -1}}}, "`encoder.optim.lr`: "),
        (
            {"encoder": {"optim": {"lr": -1}}, "decoder": {"optim": {"lr": -1}}},
            "`encoder.optim.lr`, `decoder.optim.lr`: ",
        ),
        ({"encoder_text": {"optim": {"lr": -1}}}, "`encoder_text.optim.lr`: "),
        ({"data": {"validation_fraction": 1.5}}, "`data.validation_fraction`: "),
    ],
)
def test_a_wrong_setting_is_told_once_and_by_its_own_name(kedro_run, caplog, params, names):
    with caplog.at_level(logging.ERROR), pytest.raises(ConfigError) as caught:
        kedro_run("study", params=params)
    text = str(caught.value)
    assert names in text
    assert text.count("Input should be") == 1
    assert "(found " in text
    assert "pydantic" not in text
    assert caplog.records == []


def test_two_wrong_settings_are_both_told():
    error = ParameterValidationError("Parameter validation failed:\n- Parameter 'data': x\n- Parameter 'seed': y")
    wrong = {"data": {"validation_fraction": 2, "min_chars": "x"}, "seed": "z"}
    text = str(session._wrong_settings(error, wrong))
    assert "`data.validation_fraction`" in text


def test_a_setting_without_a_model_keeps_kedros_words():
    error = ParameterValidationError("Parameter validation failed:\n- Parameter 'seed': value is None")
    assert "value is None" in str(session._wrong_settings(error, {"seed": None}))


def test_an_unknown_environment_names_the_nearest(kedro_run, project):
    with pytest.raises(ConfigError, match="no environment `lf_amazn_131k`; did you mean `--env=lf_amazon_131k`"):
        kedro_run("fabrication", env="lf_amazn_131k")
    with pytest.raises(ConfigError, match="one of base, lf_amazon_131k"):
        kedro_run("fabrication", env="shpo")
    assert not (project / "data").exists()


def test_errors_are_shown_as_a_sentence_where_the_log_folder_is_not_to_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    (tmp_path / "logs").write_text("a file, for one", encoding="utf-8")
    session.show_errors_briefly(tmp_path / "logs" / "last_error.txt")
    sys.excepthook(ConfigError, ConfigError("it is wrong"), None)
    assert capsys.readouterr().err == "Error: it is wrong\n"


def test_the_registry_still_names_its_pipelines(project):
    """Reading the project for this file has not asked for one pipeline alone."""
    assert "study" in pipelines
