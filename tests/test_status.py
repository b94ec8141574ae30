"""The status file and the log file of a run."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vixml.core import progress
from vixml.status import LOGS, STATUS, StatusHooks


@pytest.fixture
def hooks(tmp_path: Path) -> Any:
    hooks, root = StatusHooks(), logging.getLogger()
    hooks.after_context_created(SimpleNamespace(project_path=tmp_path))
    pipeline = SimpleNamespace(nodes=[1, 2])
    hooks.before_pipeline_run({"pipeline_names": ["study"], "runtime_params": {"token": "x"}}, pipeline)
    yield hooks
    progress.listeners.clear()
    for handler in list(root.handlers):
        if str(getattr(handler, "baseFilename", "")).startswith(str(tmp_path)):
            root.removeHandler(handler)
            handler.close()


def status(folder: Path) -> dict[str, Any]:
    return json.loads((folder / STATUS).read_text(encoding="utf-8"))


def test_status_follows_a_run_to_its_end(hooks: StatusHooks, tmp_path: Path) -> None:
    node = SimpleNamespace(name="train_hard")
    hooks.before_node_run(node)
    with progress.progress(desc="train_hard", total=4, unit="step") as bar:
        bar.update(3)
    during = status(tmp_path)
    assert during["state"] == "running"
    assert during["node"]["name"] == "train_hard"
    assert (during["progress"]["done"], during["progress"]["total"]) == (3, 4)
    assert "x" not in json.dumps(during["params"])

    hooks.after_node_run(node)
    hooks.after_pipeline_run()
    after = status(tmp_path)
    assert after["state"] == "done"
    assert [entry["name"] for entry in after["done"]] == ["train_hard"]
    assert progress.listeners == []


def test_status_names_what_ended_the_run(hooks: StatusHooks, tmp_path: Path) -> None:
    hooks.on_pipeline_error(ValueError("no such file"))
    assert status(tmp_path)["state"] == "failed"
    assert status(tmp_path)["error"] == "no such file"


def test_a_status_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    hooks = StatusHooks()
    hooks._project = tmp_path / "file"
    hooks._project.write_text("not a folder")
    hooks.before_pipeline_run({}, SimpleNamespace(nodes=[]))
    hooks.after_pipeline_run()


def test_messages_go_to_the_log_file_once(hooks: StatusHooks, tmp_path: Path) -> None:
    hooks.after_context_created(SimpleNamespace(project_path=tmp_path))  # a second session of the same process
    logging.getLogger("vixml").warning("the disk is nearly full")
    text = (tmp_path / LOGS).read_text(encoding="utf-8")
    assert text.count("the disk is nearly full") == 1


def test_a_log_folder_that_cannot_be_written_is_one_sentence(
    hooks: StatusHooks, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "another project"
    elsewhere.mkdir()
    (elsewhere / "logs").write_text("in the way", encoding="utf-8")
    hooks.after_context_created(SimpleNamespace(project_path=elsewhere))
    for number in range(3):
        logging.getLogger("vixml").warning("message %d", number)
    assert caplog.text.count("There is no log file") == 1
    assert "Traceback" not in capfd.readouterr().err


def test_a_log_file_that_fails_later_is_one_sentence(
    hooks: StatusHooks, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (handler,) = [h for h in logging.getLogger().handlers if getattr(h, "baseFilename", "") == str(tmp_path / LOGS)]

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    handler.stream.close()
    handler.stream = Full()
    for number in range(3):
        logging.getLogger("vixml").warning("message %d", number)
    assert caplog.text.count("The log file ends here: [Errno 28] No space left on device") == 1
    assert handler not in logging.getLogger().handlers
    assert "Traceback" not in capfd.readouterr().err
