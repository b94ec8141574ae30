"""Full disks and mistakes: told as such, and every older output stays."""

import os
import resource

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.project import settings
from kedro.pipeline import Pipeline
from tests.processes import run_command

from vixml.core.errors import StorageError
from vixml.core.files import content_hash
from vixml.freshness import runner
from vixml.hooks import WorkHooks
from vixml.pipeline_registry import register_pipelines

PIPELINES = ("fabrication", "ingestion", "image_embedding", "encoder_vision")


def outputs_of(project):
    """Return what every output says; times do not count (a node that fails at its second output saves the first)."""
    return {
        path.relative_to(project): content_hash(path)
        for layer in ("01_raw", "03*", "04*", "05*", "06*", "07*", "08*")
        for path in sorted(project.glob(f"data/{layer}/demo/**/*"))
        if path.is_file()
    }


def at_limit(limit, call):
    """Return the name and the text of the error that `call` ends with where no file may exceed `limit` bytes."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            call()
            text = "no error"
        except BaseException as err:
            text = f"{type(err).__name__}: {err}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.e2e
def test_a_full_disk_in_any_node_is_told_and_leaves_all_outputs(kedro_run, project, tiny):
    kedro_run(*PIPELINES, params=tiny)
    before = outputs_of(project)
    assert len(before) > 30
    with settings.SESSION_CLASS.create(project_path=project, runtime_params=tiny) as session:
        catalog = session.load_context().catalog
    manager = _create_hook_manager()
    manager.register(WorkHooks())
    nodes = sum((register_pipelines()[name] for name in PIPELINES), Pipeline([])).nodes
    assert len(nodes) > 12
    for node in nodes:
        paths = [runner.path_of(catalog.get(name)) for name in node.outputs]
        files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
        written = [file.stat().st_size for file in files if file.stat().st_nlink == 1]  # a second name costs no space
        for limit in {64, max(written) * 9 // 10}:  # the first file that the node writes, and the largest
            text = at_limit(limit, lambda node=node: runner.FreshRunner().run(Pipeline([node]), catalog, manager))
            assert text.startswith(StorageError.__name__), f"{node.name} at {limit} bytes: {text}"
            assert outputs_of(project) == before, f"{node.name} at {limit} bytes"


def test_a_users_mistake_ends_with_a_sentence_and_exit_code_1(project):
    ended = run_command("kedro", "run", "--pipelines=ingestion", folder=project)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Error: " in ended.stderr
    assert "run `fabrication` first" in ended.stderr
    assert "Traceback" in (project / "logs" / "last_error.txt").read_text()


def test_a_stopped_run_says_what_to_type(project):
    raw = project / "shop"
    raw.mkdir()
    (raw / "lbl.json").write_text("{broken\n")
    (raw / "trn.json").write_text("{}\n")
    (raw / "tst.json").write_text("{}\n")
    ended = run_command("kedro", "run", "--pipelines=ingestion", "--params", "data_root=shop", folder=project)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Stopped in data.ingest_raw. Complete in this run: 0 of 4 nodes." in ended.stderr
    assert "What is complete stays: --only-missing-outputs in the next command" in ended.stderr
    assert (ended.stdout + ended.stderr).count("line 1") == 1, "the error is said once"
