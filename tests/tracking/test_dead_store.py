"""A dead, slow, locked or full store: the run goes on, its files are complete, and `sync_variant` delivers later."""

import errno
import importlib.util
import json
import math
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient

from vixml.claims.process import ProcessIdentity, this_process
from vixml.core.errors import StateError, StorageError
from vixml.tracking.hooks import CURVE_FILE, TrackingHooks
from vixml.tracking.store import PROCESS, Store
from vixml.tracking.sync import end_lost_runs, process_tag, sync_variant


def load(name):
    spec = importlib.util.spec_from_file_location(f"tracking_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


harness, hooks_tests = load("conftest"), load("test_hooks")
VARIANT = "encoder_text"
RESULT = {"metrics": {"P@1": 0.25}, "seconds": {"training": 2.5}}


@pytest.fixture(autouse=True)
def short_requests(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def black_hole():
    """A server that takes connections and never answers; its event tells that one came."""
    came, ends, taken = threading.Event(), threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def take():
            while not ends.is_set():
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    continue
                came.set()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        ends.set()
        thread.join(30)
    for connection in taken:
        connection.close()


@pytest.fixture
def store_file(empty_store, tmp_path):
    return shutil.copy(empty_store, tmp_path / "mlflow.db")


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def train_and_evaluate(uri, folder, *, evaluate=lambda *_: RESULT, wait=harness.PATIENCE, over=lambda: None):
    """Run a variant whose tracker is at `uri`; return what lies on disk: records, and the folder of the curve.

    `wait` is how long the end waits for the store, `over` is called after it. What is under way then may still arrive
    as long as the process lives: here its end is waited for, so that nothing arrives later.
    """
    config = harness.configuration(uri, "toy", folder, wait_seconds=wait)
    chain = harness.variant_pipeline(VARIANT, hooks_tests.train, evaluate)
    harness.drive(TrackingHooks(), config, chain, folder=folder, extra=hooks_tests.inputs(folder, VARIANT))
    over()
    for thread in threading.enumerate():
        if thread.name == "mlflow-sender":
            thread.join()
    return json.loads((folder / VARIANT / "run_records.json").read_text())["runs"], folder / VARIANT / "training_work"


def sync(store_file, tmp_path, records, metrics=RESULT):
    return sync_variant(Store(f"sqlite:///{store_file}", "toy", tmp_path.as_uri()), records, metrics)


def check(store_file, records):
    """The store holds everything that a living one would have got."""
    client = MlflowClient(f"sqlite:///{store_file}")
    experiment = client.get_experiment_by_name("toy").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == VARIANT
    assert run.info.status == "FINISHED"
    assert run.info.start_time == records[0]["started"]
    assert run.data.params == records[0]["params"]
    assert run.data.params["backbone.name"] == "tiny"
    assert run.data.tags["variant"] == VARIANT
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == [records[0]["tags"]["dataset"]]
    assert run.data.metrics["P_at_1"] == 0.25
    history = client.get_metric_history(run.info.run_id, "epoch/loss")
    assert [(p.step, p.value) for p in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_a_dead_server_and_a_later_synchronisation(tmp_path, store_file, caplog):
    records, _ = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    assert len([r for r in caplog.records if "MLflow does not accept" in r.getMessage()]) == 1
    assert [(r["status"], r["delivered"]) for r in records] == [("FINISHED", False)]

    (first,) = sync(store_file, tmp_path, records)
    assert first["created"]
    assert first["results"]
    check(store_file, records)

    (second,) = sync(store_file, tmp_path, records)
    assert (second["created"], second["parameters"], second["points"], second["results"]) == (False, 0, 0, False)
    check(store_file, records)


def test_a_server_that_never_answers_is_not_waited_for(tmp_path, black_hole, store_file):
    uri, came = black_hole

    def evaluate(*_):
        assert came.wait(harness.PATIENCE), "the request is under way"
        return RESULT

    records, _ = train_and_evaluate(uri, tmp_path, evaluate=evaluate, wait=0.0)
    assert records[0]["delivered"] is False
    sync(store_file, tmp_path, records)
    check(store_file, records)


def test_a_locked_database(tmp_path, store_file):
    holder = sqlite3.connect(store_file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    records, _ = train_and_evaluate(f"sqlite:///{store_file}", tmp_path, wait=0.0, over=holder.close)
    assert records[0]["status"] == "FINISHED"
    assert records[0]["delivered"] is False
    sync(store_file, tmp_path, records)
    check(store_file, records)


def test_a_full_disk_under_the_store_only(tmp_path, store_file, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.log_batch", full)
        records, _ = train_and_evaluate(f"sqlite:///{store_file}", tmp_path)
    assert "No space left" in caplog.text
    assert records[0]["delivered"] is False
    sync(store_file, tmp_path, records)
    check(store_file, records)


@pytest.mark.parametrize("room", [0, 4])
def test_a_synchronisation_on_a_full_disk_says_so_and_is_completed_later(tmp_path, store_file, room):
    """SQLite's own error: the database may have no more pages than it has, or only a few more."""
    records, _ = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    with closing(sqlite3.connect(store_file)) as connection:
        connection.execute("VACUUM")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count = {pages + room}")

    records[0]["params"] |= {f"p{number}": "x" * 400 for number in range(100)}
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", limit)
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            sync(store_file, tmp_path, records)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", limit)
    roomy = shutil.copy(store_file, tmp_path / "roomy.db")  # connections to the other one keep their limit
    sync(roomy, tmp_path, records)
    check(roomy, records)


def test_what_a_slow_store_had_not_taken_at_the_end(tmp_path, store_file, monkeypatch):
    """Given up in the middle: the run is open there and has its parameters, all else is still in the queue."""
    reached, opened = threading.Event(), threading.Event()
    log_batch = MlflowClient.log_batch

    def slow(self, run, *, metrics=(), params=(), **options):
        if metrics:
            reached.set()
            assert opened.wait(harness.PATIENCE)
        log_batch(self, run, metrics=metrics, params=params, **options)

    def evaluate(*_):
        assert reached.wait(harness.PATIENCE), "the curve's first points are on their way"
        return RESULT

    uri = f"sqlite:///{store_file}"
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_batch", slow)
        records, _ = train_and_evaluate(uri, tmp_path, evaluate=evaluate, wait=0.0, over=opened.set)
    assert [(r["status"], r["delivered"]) for r in records] == [("FINISHED", False)]
    (run,) = MlflowClient(uri).search_runs([MlflowClient(uri).get_experiment_by_name("toy").experiment_id])
    assert run.info.status == "RUNNING"
    assert run.data.params == records[0]["params"]
    assert math.isnan(run.data.metrics.get("P_at_1", math.nan)), "no result yet"
    (report,) = sync(store_file, tmp_path, records)
    assert (report["created"], report["parameters"], report["results"]) == (False, 0, True)
    check(store_file, records)


def test_what_arrived_is_not_delivered_again(tmp_path, store_file):
    records, _ = train_and_evaluate(f"sqlite:///{store_file}", tmp_path)
    assert records[0]["delivered"] is True
    (report,) = sync(store_file, tmp_path, records)
    assert (report["created"], report["parameters"], report["points"], report["results"]) == (False, 0, 0, False)
    check(store_file, records)


def test_results_of_another_run_are_not_taken_for_this_one(tmp_path, store_file):
    records, _ = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    (report,) = sync(store_file, tmp_path, records, metrics={"metrics": {"P@1": 0.9}})
    assert report["results"] is False
    (report,) = sync(store_file, tmp_path, [{**records[0], "key": "0" * 32, "trained": False}])
    assert report["points"] == 0


class DyingClient:
    """MLflow's client whose process is killed instead of its n-th call that changes something."""

    def __init__(self, client, calls):
        self._client, self._left = client, calls

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name.startswith(("get", "search")):
            return method

        def call(*args, **options):
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **options)

        return call


def test_a_synchronisation_that_is_killed_anywhere_is_completed_by_the_next(tmp_path, empty_store):
    records, _ = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    records[0]["model"] = {"name": VARIANT, "path": "data/06_models", "fingerprint": "abc"}
    above = {"key": "f" * 32, "name": "study", "started": records[0]["started"], "tags": {}}
    records[0] |= {"above": above, "session": "FAILED"}
    # of a dozen calls: behind the parent, in the results, with the model half there, near the end
    for killed in (1, 5, 6, 9):
        file = shutil.copy(empty_store, tmp_path / f"{killed}.db")
        store = Store(f"sqlite:///{file}", "toy", (tmp_path / str(killed)).as_uri())

        def body(store=store, killed=killed):
            vars(store)["client"] = DyingClient(MlflowClient(store.uri), killed)
            sync_variant(store, records, RESULT)

        child = multiprocessing.get_context("fork").Process(target=body)
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        sync_variant(Store(store.uri, "toy"), records, RESULT)
        client = MlflowClient(store.uri)
        experiment = client.get_experiment_by_name("toy").experiment_id
        runs = {run.info.run_name: run for run in client.search_runs([experiment])}
        assert {name: run.info.status for name, run in runs.items()} == {VARIANT: "FINISHED", "study": "FAILED"}
        run = runs[VARIANT]
        assert run.data.params == records[0]["params"]
        assert run.data.metrics["P_at_1"] == 0.25
        assert [file.path for file in client.list_artifacts(run.info.run_id, "reports")] == ["reports/metrics.json"]
        (model,) = client.search_logged_models([experiment])
        assert (model.status, model.params["fingerprint"]) == ("READY", "abc")


def test_runs_of_killed_processes_do_not_stay_running(tmp_path, store_file):
    """Even those that no file tells of: a parent run before its first variant, an earlier version's variant."""
    store = Store(f"sqlite:///{store_file}", "toy", tmp_path.as_uri())
    living = process_tag(tmp_path)
    dead = json.dumps({**json.loads(living), "started": 1})
    elsewhere = json.dumps({**json.loads(living), "system": "another boot", "claims": str(tmp_path / "not here")})
    runs = {
        name: store.create({"key": name, "name": name, "started": 1, "tags": tags})
        for name, tags in {
            "dead": {PROCESS: dead},
            "living": {PROCESS: living},
            "elsewhere": {PROCESS: elsewhere},
            "somebody's": {},
        }.items()
    }
    assert [(run["name"], run["status"]) for run in end_lost_runs(store)] == [("dead", "KILLED")]
    assert end_lost_runs(store) == []
    statuses = {name: store.client.get_run(run).info.status for name, run in runs.items()}
    assert statuses == {"dead": "KILLED", "living": "RUNNING", "elsewhere": "RUNNING", "somebody's": "RUNNING"}


def test_a_killed_variant_is_ended_and_one_at_work_is_left_alone(tmp_path, store_file):
    records, _ = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    record = {key: value for key, value in records[0].items() if key not in ("ended", "metrics")}
    record["status"] = "RUNNING"
    assert ProcessIdentity.of(json.loads(record["tags"][PROCESS])) == this_process()
    assert sync(store_file, tmp_path, [record]) == []
    dead = json.dumps({**json.loads(record["tags"][PROCESS]), "started": 1})
    (report,) = sync(store_file, tmp_path, [{**record, "tags": {**record["tags"], PROCESS: dead}}])
    assert report["status"] == "KILLED"
    client = MlflowClient(f"sqlite:///{store_file}")
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert run.info.status == "KILLED"


def test_a_server_that_is_still_dead_is_an_error(tmp_path):
    records, work = train_and_evaluate(f"http://127.0.0.1:{closed_port()}", tmp_path)
    assert (work / CURVE_FILE).is_file()
    with pytest.raises(StateError, match="MLflow does not accept the records"):
        sync_variant(Store(f"http://127.0.0.1:{closed_port()}", "toy"), records, RESULT)
