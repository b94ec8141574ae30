"""A tracking store and a tiny session to drive the hooks with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kedro.config import MissingConfigException
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from vixml.configuration.compose import ALL_VARIANTS
from vixml.core.workspace import works_in
from vixml.datasets import JSONDocumentDataset, WorkDirectoryDataset
from vixml.hooks import WorkHooks


@pytest.fixture(scope="session")
def client(empty_store):
    """Client of the session's store; every test has its own experiment in it."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{empty_store}")


@pytest.fixture
def experiment(client, request, tmp_path):
    return client.create_experiment(request.node.name, artifact_location=tmp_path.as_uri())


@pytest.fixture
def runs_of(client, experiment):
    """The runs of the test's experiment by name."""
    return lambda: {run.info.run_name: run for run in client.search_runs([experiment])}


PATIENCE = 600
"""Seconds that a run's end waits for its store: for a busy machine; nothing is waited for where it is done earlier."""


def configuration(uri, experiment, folder, **own):
    """What conf/base/mlflow.yml holds."""
    return {
        "server": {"mlflow_tracking_uri": uri},
        "tracking": {
            "experiment": {"name": experiment, "create_experiment_kwargs": {"artifact_location": folder.as_uri()}}
        },
        "vixml": {"system_metrics": False, "wait_seconds": PATIENCE, **own},
    }


@pytest.fixture
def config(client, experiment, tmp_path):
    return configuration(client.tracking_uri, client.get_experiment(experiment).name, tmp_path)


PARAMETERS = {
    "params:dataset": "toy",
    "params:seed": 7,
    "params:run_name": "",
    "params:data": {"text_fields": "title"},
    "params:vision": {"model": "none"},
    "params:evaluation": {"ks": [1, 5]},
}


def variant_pipeline(name, *functions):
    """Nodes in a chain under the namespace of a variant; the last output is the metrics document."""
    nodes = []
    for number, function in enumerate(functions):
        last = number == len(functions) - 1
        nodes.append(
            node(
                in_training_work(function),
                inputs=["params:variant"] + ([f"step{number - 1}"] if number else []),
                outputs="metrics" if last else f"step{number}",
                name=f"node{number}",
            )
        )
    return pipeline(nodes, namespace=name, parameters={"params:variant": f"params:{name}"})


def in_training_work(function):
    """Let `function(params, work, *earlier)` work where trainings do."""

    @works_in("training_work")
    def run(params, *earlier, work):
        return function(params, work, *earlier)

    return run


def drive(hooks, config, chain, *, names=("toy",), folder=None, extra=None):
    """Run a pipeline as a session does, with the hooks registered; return the context."""
    manager = _create_hook_manager()
    manager.register(hooks)
    manager.register(WorkHooks())
    datasets = {**PARAMETERS, **(extra or {})}
    records = {
        f"{name}.run_records": JSONDocumentDataset(filepath=str(folder / name / "run_records.json"), missing_ok=True)
        for name in ALL_VARIANTS
    }
    work = {"work": WorkDirectoryDataset(filepath=str(folder))}
    catalog = DataCatalog(
        {**{key: MemoryDataset(value, copy_mode="assign") for key, value in datasets.items()}, **records, **work}
    )
    context = SimpleNamespace(config_loader=Loader(config), project_path=folder)
    manager.hook.after_context_created(context=context)
    call = {"run_params": {"pipeline_names": list(names)}, "pipeline": chain, "catalog": catalog}
    manager.hook.before_pipeline_run(**call)
    try:
        result = SequentialRunner().run(chain, catalog, manager, run_id="1")
    except Exception as error:
        manager.hook.on_pipeline_error(error=error, **call)
        raise
    manager.hook.after_pipeline_run(run_result=result, **call)
    return context


class Loader(dict):
    """A configuration loader with mlflow.yml, or without one."""

    def __init__(self, mlflow):
        super().__init__({} if mlflow is None else {"mlflow": mlflow})

    def __missing__(self, key):
        raise MissingConfigException(key)
