"""Kill a run at random moments, run it again as the documentation says, and compare with a run that was left alone.

    python tests/e2e/torture.py                                    # all variants, 20 kills each
    python tests/e2e/torture.py --variants encoder_text --kills 4

A trial starts from the raw files in an empty project, runs ingestion, image bank and one variant in a process of its
own, sends it SIGKILL at a random moment inside one of its nodes (each node in turn), and runs the command again to the
end: every other trial with `--only-missing-outputs`. Metrics and weights must equal the reference run's.

Runs are forked from a parent that has imported everything: a run costs its work and not its imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", DO_NOT_TRACK="1")

REPOSITORY = Path(__file__).resolve().parents[2]
VARIANTS = ("encoder_text", "encoder_vision", "decoder_text", "decoder_vision")
FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 64}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 64}},
    "batching": {"batch_size": 64, "start_epoch": 2, "update_every": 2, "cluster_size": 4, "double_at": [4]},
    # a checkpoint every 0.06 s: kills fall into writing them, and reruns go on in the middle of an epoch
    "training": {"epochs": 6, "checkpoint_every": 1, "checkpoint_minutes": 0.001, "validate_every": 3},
}
PARAMS: dict[str, Any] = {
    "fabrication": {"num_train": 400, "num_test": 80, "num_labels": 120, "image_pixels": 32},
    "data": {"validation_fraction": 0.1},
    "vision": {"shard_size": 64},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    "encoder": FAMILY,
    "decoder": FAMILY,
}
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
    if raw is not None:
        shutil.copytree(raw, folder / "data" / "01_raw" / "demo")
    return folder


def _run(project: Path, names: list[str], only_missing: bool, marks: Path) -> None:
    """Body of the forked process: one `kedro run`."""
    log = (project / "run.log").open("ab", buffering=0)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    os.chdir(project)
    code = 1
    try:
        from kedro.framework.hooks import hook_impl
        from kedro.framework.project import settings
        from kedro.framework.startup import bootstrap_project

        bootstrap_project(project)
        Marker.before_node_run = hook_impl(Marker.before_node_run)  # type: ignore[method-assign]
        with settings.SESSION_CLASS.create(project_path=project, runtime_params=PARAMS) as session:
            session._hook_manager.register(Marker(marks))
            session.run(pipeline_names=names, only_missing_outputs=only_missing)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(project: Path, names: list[str], *, only_missing: bool = False) -> tuple[Any, Path]:
    """Start a run; return its process and the file of its marks."""
    marks = project / "marks.txt"
    marks.unlink(missing_ok=True)
    process = _FORK.Process(target=_run, args=(project, names, only_missing, marks))
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
        raise RuntimeError((project / "run.log").read_text(encoding="utf-8", errors="replace")[-4000:])
    started = read_marks(marks)
    ends = [*started.values(), time.monotonic()][1:]
    return {name: end - begin for (name, begin), end in zip(started.items(), ends, strict=True)}


def read_marks(file: Path) -> dict[str, float]:
    """Return when each node started, complete lines only."""
    if not file.exists():
        return {}
    lines = [
        line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"
    ]
    return {name.strip(): float(moment) for moment, name in lines}


def kill_inside(project: Path, names: list[str], node: str, delay: float) -> str:
    """Start a run and SIGKILL it `delay` seconds into `node`; return the node that was killed, or `nothing`."""
    process, marks = start(project, names)
    while process.is_alive() and node not in read_marks(marks):
        process.join(0.005)
    process.join(delay)
    alive = process.is_alive()
    last = list(read_marks(marks) or {"start-up": 0.0})[-1]
    process.kill()
    process.join()
    if not alive and process.exitcode:
        raise RuntimeError((project / "run.log").read_text(encoding="utf-8", errors="replace")[-4000:])
    return last if alive else "nothing"


def outcome(project: Path, variant: str) -> Outcome:
    """Read what the run made."""
    document = json.loads((project / f"data/08_reporting/demo/{variant}/metrics.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for file in sorted((project / f"data/06_models/demo/{variant}/model").rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return Outcome(json.dumps(document["metrics"], sort_keys=True), digest.hexdigest())


def torture(variant: str, raw: Path, folder: Path, *, kills: int, seed: int) -> list[str]:
    """Make `kills` trials with one variant; return a line for each that did not end at the reference's numbers."""
    names = ["ingestion", "image_embedding", variant]
    reference = new_project(folder / f"{variant}-reference", raw)
    seconds = finish(reference, names)
    expected = outcome(reference, variant)
    print(f"{variant}: {sum(seconds.values()):.1f} s uninterrupted, {len(seconds)} nodes", flush=True)
    # each node in turn; the long ones more often
    nodes = list(seconds)
    rng = random.Random(f"{variant} {seed}")
    plan = [nodes[i % len(nodes)] for i in range(kills)] if kills >= len(nodes) else rng.choices(nodes, k=kills)
    wrong = []
    for trial, node in enumerate(plan):
        hit, delay = "nothing", rng.uniform(0.0, 1.0) * seconds[node]
        while hit == "nothing":  # the run was over before: faster than the reference; a trial without a kill is none
            project = new_project(folder / f"{variant}-trial", raw)
            hit = kill_inside(project, names, node, delay)
            delay /= 2
        only_missing = trial % 2 == 1
        try:
            finish(project, names, only_missing=only_missing)
            verdict = "equal" if outcome(project, variant) == expected else "DIFFERENT"
        except RuntimeError as err:
            verdict = f"FAILED\n{err}"
        rerun = "rerun --only-missing-outputs" if only_missing else "rerun"
        line = f"{variant} {trial + 1}/{kills}: killed in {hit}, {rerun}: {verdict}"
        print(line, flush=True)
        if verdict != "equal":
            wrong.append(line)
            shutil.copytree(project, folder / f"{variant}-failed-{trial}", dirs_exist_ok=True)
    return wrong


def prepare(folder: Path) -> Path:
    """Import what the runs need, fabricate the demo's raw files once, and return their folder."""
    import open_clip  # noqa: F401
    import sklearn.feature_extraction.text  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    project = new_project(folder / "fabrication")
    finish(project, ["fabrication"])
    return project / "data" / "01_raw" / "demo"


def main() -> int:
    """Run the torture of the command line; the exit code is the number of variants that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--kills", type=int, default=20, help="trials of each variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder otherwise")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="vixml-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    raw = prepare(folder)
    wrong = [
        line
        for variant in arguments.variants
        for line in torture(variant, raw, folder, kills=arguments.kills, seed=arguments.seed)
    ]
    total = arguments.kills * len(arguments.variants)
    print(f"{total - len(wrong)} of {total} trials ended at the numbers of the uninterrupted run")
    if not arguments.folder and not wrong:
        shutil.rmtree(folder)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
