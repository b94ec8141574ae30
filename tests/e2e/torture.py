"""Kill a run at random moments, run it again as the documentation says, and compare with a run that was left alone.

    python tests/e2e/torture.py                                    # all variants, 20 kills each
    python tests/e2e/torture.py --variants encoder_text --kills 4

A trial starts from the raw files in an empty project, runs ingestion, image bank and one variant in a process of its
own, sends it SIGKILL at a random moment of one of its stages (each stage in turn), and runs the command again to the
end: half of the trials with `--only-missing-outputs`; in every fourth one the rerun is killed, too. Metrics and weights
must equal the reference run's.

    python tests/e2e/torture.py --ranks 2 --variants encoder_text

With `--ranks`, a trial begins after ingestion and kills a rank, the run with the agent that starts its ranks, or asks
the run to stop (SIGTERM), in one divided stage after another. No rank may live on, and the same command must end at the
weights of an undisturbed run (1e-5); every third rerun has another number of ranks.

Runs are forked from a parent that has imported what a run imports: they cost their work and not their imports.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", DO_NOT_TRACK="1")

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY))
from tests.e2e import rank_kills  # noqa: E402

REHEARSAL = "fabrication"
"""The first pipeline of the rehearsal, and of no other run."""
STORE, MODULES = "mlflow.db", "modules.txt"
"""What the rehearsal leaves: an empty MLflow store, and the names of the modules that runs import."""

VARIANTS = ("encoder_text", "encoder_vision", "decoder_text", "decoder_vision")
FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 64}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 64}, "image_dropout": 0.2},
    "batching": {"batch_size": 48, "start_epoch": 2, "update_every": 2, "cluster_size": 4, "double_at": [4]},
    # a checkpoint every 0.06 s: kills fall into writing them, and reruns go on in the middle of an epoch
    "training": {"epochs": 5, "checkpoint_every": 1, "checkpoint_minutes": 0.001, "validate_every": 3},
}
MINED = {"mined_per_query": 2, "mine_every": 1}
PARAMS: dict[str, Any] = {
    "fabrication": {"num_train": 160, "num_test": 40, "num_labels": 60, "image_pixels": 32},
    "data": {"validation_fraction": 0.1},
    "vision": {"shard_size": 64, "tiny_image_size": 32},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    # one family with all that has a state of its own, the other as it is by default
    "encoder": {**FAMILY, "batching": {**FAMILY["batching"], **MINED}},
    "decoder": FAMILY,
}
STAGES = {
    "hard stage": ("train_hard",),
    "warm-up": ("train_warmup",),
    "evaluation": ("embed", "index", "gather_evidence", "bundle", "evaluate", "archive_run"),
    "embedding": ("tokenise", "embed_images", "draw_pictures"),
    "refresh": ("refresh_hard_negatives",),
    "ingestion": ("ingest_raw", "summarise_data", "plot_label_frequencies"),
}
"""Stage -> its nodes; the most telling ones first, for runs with few kills. All other nodes are the stage `other`."""

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Outcome:
    """What two runs must share: the metrics, and the hashes of the model's files."""

    metrics: str
    weights: str


class Marker:
    """A Kedro hook that writes down when each node starts."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def before_node_run(self, node: Any) -> None:
        """Append the node's name and the time."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.monotonic()} {node.name}\n")


def new_project(folder: Path, raw: Path | None = None) -> Path:
    """Make an empty project with this repository's configuration, and the demo's raw files if given."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "src").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / ".telemetry").write_text("consent: false\n", encoding="utf-8")
    if (store := folder.parent / STORE).exists():  # to make its tables takes longer than a run
        shutil.copy(store, folder)
    if raw is not None:
        shutil.copytree(raw, folder / "data" / "01_raw" / "demo")
    return folder


def _run(project: Path, names: list[str], only_missing: bool, marks: Path, params: dict[str, Any]) -> None:
    """Body of the forked process: one `kedro run`."""
    log = (project / "run.log").open("ab", buffering=0)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    os.chdir(project)
    code = 1
    try:
        _session(project, names, only_missing, marks, params)
        code = 0
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _session(project: Path, names: list[str], only_missing: bool, marks: Path, params: dict[str, Any]) -> None:
    from kedro.framework.hooks import hook_impl
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    if names[0] == REHEARSAL:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{project.parent / STORE}").search_experiments()
    Marker.before_node_run = hook_impl(Marker.before_node_run)  # type: ignore[method-assign]
    with settings.SESSION_CLASS.create(project_path=project, runtime_params=params) as session:
        session._hook_manager.register(Marker(marks))
        session.run(pipeline_names=names, only_missing_outputs=only_missing)
    if names[0] == REHEARSAL:
        (project.parent / MODULES).write_text("\n".join(sys.modules), encoding="utf-8")


def start(
    project: Path, names: list[str], *, only_missing: bool = False, params: dict[str, Any] = PARAMS
) -> tuple[Any, Path]:
    """Start a run; return its process and the file of its marks."""
    marks = project / "marks.txt"
    marks.unlink(missing_ok=True)
    process = _FORK.Process(target=_run, args=(project, names, only_missing, marks, params))
    process.start()
    return process, marks


def finish(project: Path, names: list[str], *, only_missing: bool = False) -> dict[str, float]:
    """Run to the end; return the seconds that each node took, in the order they ran.

    Raises:
        RuntimeError: The run failed; with the end of its log.
    """
    process, marks = start(project, names, only_missing=only_missing)
    process.join()
    if process.exitcode:
        raise RuntimeError(log_of(project)[-4000:])
    started = read_marks(marks)
    ends = [*started.values(), time.monotonic()][1:]
    return {name: end - begin for (name, begin), end in zip(started.items(), ends, strict=True)}


def log_of(project: Path) -> str:
    """Return what the runs of a project have printed."""
    return (project / "run.log").read_text(encoding="utf-8", errors="replace")


def read_marks(file: Path) -> dict[str, float]:
    """Return when each node started, complete lines only."""
    if not file.exists():
        return {}
    lines = [
        line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"
    ]
    return {name.strip(): float(moment) for moment, name in lines}


def stage_of(node: str) -> str:
    """Return the stage of a node, for instance of `encoder_text.train_hard`."""
    return next((stage for stage, nodes in STAGES.items() if node.rpartition(".")[2] in nodes), "other")


def moment_in(stage: str, seconds: dict[str, float], rng: random.Random) -> tuple[str, float]:
    """Return a random moment of a stage, all alike: a node, and how many seconds into it."""
    nodes = {node: took for node, took in seconds.items() if stage_of(node) == stage}
    node = rng.choices(list(nodes), weights=list(nodes.values()))[0]
    return node, rng.uniform(0.0, nodes[node])


def kill_inside(project: Path, names: list[str], node: str, delay: float, *, only_missing: bool = False) -> str | None:
    """Start a run and SIGKILL it `delay` seconds into `node`; return the node that was killed, None if it had ended."""
    process, marks = start(project, names, only_missing=only_missing)
    while process.is_alive() and node not in read_marks(marks):
        process.join(0.005)
    process.join(delay)
    last = list(read_marks(marks) or {node: 0.0})[-1]
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(log_of(project)[-4000:])
    return last if process.exitcode else None


def outcome(project: Path, variant: str) -> Outcome:
    """Read what the run made."""
    document = json.loads((project / f"data/08_reporting/demo/{variant}/metrics.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for file in sorted((project / f"data/06_models/demo/{variant}/model").rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return Outcome(json.dumps(document["metrics"], sort_keys=True), digest.hexdigest())


def trial(
    project: Path, names: list[str], stage: str, seconds: dict[str, float], rng: random.Random, *, number: int
) -> tuple[list[str], str]:
    """Kill a run in `stage` and run it again to the end; return the nodes that were killed, and the rerun's flag."""
    raw = project.parent / "rehearsal" / "data" / "01_raw" / "demo"
    flag = bool((number + number // len(STAGES)) % 2)
    hit, (node, delay) = None, moment_in(stage, seconds, rng)
    while hit is None or stage_of(hit) != stage:  # faster than the reference: the moment was in another stage
        hit = kill_inside(new_project(project, raw), names, node, delay)
        delay /= 2
    hits = [hit]
    if number % 4 == 3:
        left = list(seconds)[list(seconds).index(hit) :]
        again = rng.choices(left, weights=[seconds[name] for name in left])[0]
        second = kill_inside(project, names, again, rng.uniform(0.0, seconds[again]), only_missing=flag)
        hits += [second] if second else []
    finish(project, names, only_missing=flag)
    return hits, "--only-missing-outputs" if flag else "the same command"


def torture(variant: str, raw: Path, folder: Path, *, kills: int, seed: int) -> tuple[list[str], Counter[str]]:
    """Make `kills` trials with one variant; return a line for each that went wrong, and how many kills hit a stage."""
    names = ["ingestion", "image_embedding", variant]
    reference = new_project(folder / f"{variant}-reference", raw)
    seconds = finish(reference, names)
    expected = outcome(reference, variant)
    print(f"{variant}: {sum(seconds.values()):.1f} s uninterrupted, {len(seconds)} nodes", flush=True)
    rng = random.Random(f"{variant} {seed}")
    there = set(map(stage_of, seconds))
    stages = [stage for stage in (*STAGES, "other") if stage in there]
    wrong, where = [], Counter(dict.fromkeys(stages, 0))
    for number in range(kills):
        stage = stages[number % len(stages)]
        project, hits, rerun = folder / f"{variant}-trial", [f"the {stage}"], "rerun"
        try:
            hits, rerun = trial(project, names, stage, seconds, rng, number=number)
            where.update(map(stage_of, hits))
            verdict = "equal" if outcome(project, variant) == expected else "DIFFERENT"
        except RuntimeError as err:
            verdict = f"FAILED\n{err}"
        line = f"{variant} {number + 1}/{kills}: killed in {' and '.join(hits)}, then {rerun}: {verdict}"
        wrong += rank_kills.said(line, project, folder / f"{variant}-failed-{number}")
    print(f"{variant}: kills by stage: " + ", ".join(f"{stage} {count}" for stage, count in where.items()), flush=True)
    return wrong, where


def in_ranks(ranks: int) -> dict[str, Any]:
    """Return the parameters of a run in so many ranks."""
    training = {"training": {**FAMILY["training"], "processes": ranks}}
    return {**PARAMS, **{name: {**PARAMS[name], **training} for name in ("encoder", "decoder")}}


def finish_in_ranks(project: Path, variant: str, ranks: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run a variant to the end; return the seconds of each node, and for how many of them its ranks worked."""
    process, marks = start(project, [variant], params=in_ranks(ranks))
    watch = rank_kills.Watch(project, lambda: read_marks(marks))
    while process.is_alive():
        watch.look()
        process.join(0.02)
    if process.exitcode:
        raise RuntimeError(log_of(project)[-4000:])
    started = watch.look()
    ends = dict(zip(started, [*started.values(), time.monotonic()][1:], strict=True))
    seconds = {node: ends[node] - begin for node, begin in started.items()}
    return seconds, {node: ends[node] - begin for node, begin in watch.at_work.items()}


def kill_rank(project: Path, variant: str, ranks: int, moment: rank_kills.Moment, rng: random.Random) -> bool:
    """Start a run and kill at `moment`; return False where it was faster. A wrong end is a RuntimeError."""
    process, marks = start(project, [variant], params=in_ranks(ranks))
    watch = rank_kills.Watch(project, lambda: read_marks(marks))
    while process.is_alive() and not watch.has_come(moment):
        process.join(0.01)
    process.join(moment.delay)
    struck = process.is_alive() and rank_kills.strike(process.pid, moment.kill, rng)
    process.join()
    if left := rank_kills.left_behind(project):
        raise RuntimeError(f"LEFT BEHIND: ranks {left}")
    if process.exitcode == 0:
        return False
    log = log_of(project)
    named = moment.kill != rank_kills.KILLS[0] or "was killed" in log
    if not struck or process.exitcode not in rank_kills.ENDED[moment.kill] or not named:
        raise RuntimeError(f"after {moment.kill} it ended with {process.exitcode}\n{log[-4000:]}")
    return True


def torture_ranks(variant: str, raw: Path, folder: Path, *, kills: int, seed: int, ranks: int) -> list[str]:
    """Make `kills` trials with one variant in several ranks; return a line for each that went wrong."""
    start_from, reference, project = (folder / f"{variant}-{name}" for name in ("ingested", "reference", "trial"))
    finish(new_project(start_from, raw), ["ingestion", "image_embedding"])
    model = f"data/06_models/demo/{variant}/model"
    rng, wrong = random.Random(f"{variant} {seed} {ranks}"), []

    def again(place: Path) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        return Path(shutil.copytree(start_from, place))

    seconds, at_work = finish_in_ranks(again(reference), variant, ranks)
    print(f"{variant}: {sum(seconds.values()):.1f} s uninterrupted in {ranks} ranks, at work {at_work}", flush=True)
    expected, measured = rank_kills.weights(reference / model), outcome(reference, variant).metrics
    for number in range(kills):
        moment = rank_kills.moments(seconds, at_work, number, rng)
        others = rng.choice([1, ranks + 1]) if number % 3 == 2 else ranks
        try:
            while not kill_rank(again(project), variant, ranks, moment, rng):
                moment = replace(moment, delay=moment.delay / 2)
            finish_in_ranks(project, variant, others)
            off = rank_kills.difference(rank_kills.weights(project / model), expected)
            worse = rank_kills.metrics_differ(outcome(project, variant).metrics, measured)
            verdict = "equal" if off <= 1 and not worse else f"DIFFERENT: {off:.3g} times what is allowed"
        except RuntimeError as err:
            verdict = f"FAILED\n{err}"
        line = f"{variant} {number + 1}/{kills}: {moment}, then {others} ranks: {verdict}"
        wrong += rank_kills.said(line, project, folder / f"{variant}-failed-{number}")
    return wrong


def prepare(folder: Path, variants: Sequence[str]) -> Path:
    """Rehearse in a process of its own, import what it imported, and return the raw files that it fabricated.

    Only families of `variants` are rehearsed. A folder where that was done before is used again.
    """
    project = folder / "rehearsal"
    if not (folder / MODULES).exists():
        families = dict.fromkeys(f"{variant.partition('_')[0]}_vision" for variant in variants)
        finish(new_project(project), [REHEARSAL, "ingestion", "image_embedding", *families])
    for module in (folder / MODULES).read_text(encoding="utf-8").splitlines():
        with suppress(ImportError):  # some exist in a running project only
            importlib.import_module(module)
    sys.modules["torch"].set_num_threads(1)
    return project / "data" / "01_raw" / "demo"


def main() -> int:
    """Run the torture of the command line; the exit code is the number of variants that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--kills", type=int, default=20, help="trials of each variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1, help="processes that stages are divided among")
    parser.add_argument("--folder", type=Path, help="where to work, again and again; a temporary folder otherwise")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="vixml-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    raw = prepare(folder, arguments.variants)
    wrong, where = [], Counter[str]()
    for variant in arguments.variants:
        options = {"kills": arguments.kills, "seed": arguments.seed}
        if arguments.ranks > 1:
            wrong += torture_ranks(variant, raw, folder, **options, ranks=arguments.ranks)
            continue
        failed, hits = torture(variant, raw, folder, **options)
        wrong += failed
        where += hits
    if where:
        print("all kills by stage: " + ", ".join(f"{stage} {count}" for stage, count in where.items()))
    total = arguments.kills * len(arguments.variants)
    print(f"{total - len(wrong)} of {total} trials ended at the numbers of the uninterrupted run")
    if not arguments.folder and not wrong:
        shutil.rmtree(folder)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
