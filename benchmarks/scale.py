"""The whole line at LF-AmazonTitles-1.3M's numbers, with made-up titles and a one-layer network of width 64, on a CPU.

    make scale ARGS="--scale 0.02"          # a fiftieth of the queries, labels and filter pairs
    make scale                              # 2.25M training queries, 0.97M test queries, 1.3M labels, 22 labels a query

Every stage is one `kedro run` in a process of its own, so its peak memory is its own. Memory counts what a process
cannot give back (anonymous pages); "with files" adds the memory maps, which the system drops where memory is scarce.
The counts of all outputs are checked: rows of every array and table, labels, filter pairs, and that no prediction
names an excluded pair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import REPOSITORY

VARIANT, WIDTH, DEPTH, ASKED = "encoder_text", 64, 100, 10
LABELS_A_QUERY, ADDED = 22, 1000
_WORDS, _BLOCK, _LOOK = 60_000, 20_000, 0.1  # different words; lines written at once; seconds between two looks


@dataclass(frozen=True)
class Sizes:
    """How many of everything.

    Args:
        train: Training queries.
        test: Test queries.
        labels: Labels.
        excluded: Filter pairs of the test queries.
        asked: Queries of the prediction.
    """

    train: int
    test: int
    labels: int
    excluded: int
    asked: int

    @classmethod
    def of(cls, scale: float) -> Sizes:
        """Return the benchmark's numbers times `scale`."""
        return cls(*(max(100, round(scale * n)) for n in (2_248_619, 970_237, 1_305_265, 300_000, 100_000)))


@dataclass(frozen=True)
class Stage:
    """What one process did.

    Args:
        name: Name of the stage.
        seconds: How long it took, imports included.
        own: Peak of its anonymous memory in bytes.
        mapped: Peak of its resident memory in bytes, mapped files included.
    """

    name: str
    seconds: float
    own: int
    mapped: int


def main() -> int:
    """Make the data, run all stages, print the table; return 1 where a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the benchmark's size")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build" / "scale", help="emptied first")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each of the two stages, at most")
    parser.add_argument("--gib", type=float, default=16.0, help="bound of a stage's memory")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    sizes, project = Sizes.of(options.scale), make_project(options.folder)
    started = time.perf_counter()
    write_data(project / "data" / "01_raw" / "scale", sizes)
    print(f"data written in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    stages = [run(project, name, words, options.threads) for name, words in commands(project, sizes, options)]
    check(project, sizes)
    head = f"{sizes.train:,} training and {sizes.test:,} test queries, {sizes.labels:,} labels, width {WIDTH}, "
    text = f"{head}{options.threads} threads\n\n{table(stages)}\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return int(max(stage.own for stage in stages) > options.gib * 2**30)


def make_project(folder: Path) -> Path:
    """Return a project with this one's configuration and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / "src").mkdir()
    return folder


def write_data(folder: Path, sizes: Sizes) -> None:
    """Write JSON lines and filter pairs in the benchmark's format, and the files of prediction and label update.

    A query's labels are drawn around a place of its own, some far more often than others; a few of its words are those
    of its first label, so that there is something to learn.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefghiklmnoprstuwz"), 3 + n % 7)) for n in range(_WORDS)])

    def titles(count: int) -> list[str]:
        lengths = rng.integers(3, 14, count)
        drawn = words[(_WORDS * rng.random(lengths.sum()) ** 3).astype(np.int64)]
        return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]

    def write(name: str, count: int, line: Callable[[int, str, Any], dict[str, Any]], targets: bool) -> None:
        with (folder / name).open("w", encoding="utf-8") as stream:
            for start in range(0, count, _BLOCK):
                size = min(_BLOCK, count - start)
                drawn = _targets(size, sizes.labels, rng) if targets else [None] * size
                rows = zip(range(start, start + size), titles(size), drawn, strict=True)
                stream.writelines(json.dumps(line(*row)) + "\n" for row in rows)

    def point(number: int, title: str, labels: Any) -> dict[str, Any]:
        return {"uid": f"q{number}", "title": title, "target_ind": labels, "target_rel": [1.0] * len(labels)}

    write("lbl.json", sizes.labels, lambda number, title, _: {"uid": f"l{number}", "title": title}, targets=False)
    write("trn.json", sizes.train, lambda n, t, labels: {**point(n, t, labels), "uid": f"t{n}"}, targets=True)
    write("tst.json", sizes.test, point, targets=True)
    pairs = np.unique(rng.integers(0, [sizes.test, sizes.labels], (sizes.excluded, 2)), axis=0)
    np.savetxt(folder / "filter_labels_test.txt", pairs, fmt="%d")
    (folder / "filter_labels_train.txt").touch()
    write("asked.jsonl", sizes.asked, lambda n, text, _: {"id": f"a{n}", "text": text}, targets=False)
    write("added.jsonl", ADDED, lambda n, text, _: {"id": f"new{n}", "text": text}, targets=False)


def _targets(count: int, labels: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the labels of some queries, each once: some 22 on average, near a place of the query's own."""
    lengths = np.minimum(1 + rng.poisson(LABELS_A_QUERY - 1, count), labels)
    middle = (labels * rng.random(count) ** 2).astype(np.int64)
    near = np.repeat(middle, lengths) + rng.geometric(0.002, lengths.sum())
    return [sorted(set((part % labels).tolist())) for part in np.split(near, np.cumsum(lengths)[:-1])]


def commands(project: Path, sizes: Sizes, options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Return the stages and the words behind `kedro run` of each."""
    raw = project / "data" / "01_raw" / "scale"
    network = f"hidden_size={WIDTH},num_layers=1,num_heads=2,intermediate_size={4 * WIDTH},vocab_size=16384"
    tiny = ",".join(f"encoder.backbone.tiny.{setting}" for setting in network.split(","))
    params = ",".join(
        [
            "dataset=scale,encoder_recipe=distilbert,encoder_backbone=tiny",
            tiny,
            "encoder.model.prototype.num_heads=2,encoder.model.prototype.feedforward=128",
            f"encoder.batching.batch_size={options.batch},encoder.batching.start_epoch=1",
            f"encoder.training.epochs=2,encoder.training.max_epoch_steps={options.steps},encoder.optim.lr=0.001",
            f"data.text_fields=title,data.validation_fraction=0,baselines.max_queries=500,evaluation.top_k={DEPTH}",
        ]
    )

    def words(what: str, more: str = "") -> list[str]:
        return [what, "--params", params + more]

    nodes = ["tokenise", "train_warmup", "refresh_hard_negatives", "train_hard", "embed", "index"]
    nodes += ["gather_evidence", "bundle", "evaluate", "archive_run"]
    compared = ["compare", "plot_comparison", "write_report", "write_tables", "check_regression"]
    return [
        ("ingestion", words("--pipelines=ingestion")),
        *((name, words(f"--nodes={VARIANT}.{name}")) for name in nodes),
        ("baselines", words("--nodes=comparison.compute_baselines")),
        ("comparison, report", words(f"--nodes={','.join(f'comparison.{name}' for name in compared)}")),
        (
            "prediction",
            words(
                "--pipelines=prediction",
                f",prediction.queries={raw / 'asked.jsonl'},prediction.model={VARIANT},prediction.k={ASKED}",
            ),
        ),
        (
            "label update",
            [f"--namespaces={VARIANT}", *words("--pipelines=label_update", f",label_update.add={raw / 'added.jsonl'}")],
        ),
    ]


def run(project: Path, name: str, words: list[str], threads: int) -> Stage:
    """Run one stage and measure its process.

    Raises:
        CalledProcessError: It failed; its output is shown.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH")]))
    command, log = [sys.executable, "-m", "kedro", "run", *words], project / f"{name.replace(', ', '_')}.log"
    started, own, mapped = time.perf_counter(), 0, 0
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            found = _memory(process.pid)
            own, mapped = max(own, found[0]), max(mapped, found[1])
            time.sleep(_LOOK)
    seconds = time.perf_counter() - started
    print(f"{name}: {seconds:.0f} s, {own / 2**30:.2f} GiB", file=sys.stderr, flush=True)
    if process.returncode:
        print(log.read_text(encoding="utf-8")[-4000:], file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    return Stage(name, seconds, own, mapped)


def _memory(process: int) -> tuple[int, int]:
    """Return the anonymous memory of a process now and the peak of all that was resident, in bytes (Linux)."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:  # it has just ended
        return 0, 0
    facts = dict(line.split(":", 1) for line in text.splitlines())
    return tuple(1024 * int(facts[name].split()[0]) if name in facts else 0 for name in ("RssAnon", "VmHWM"))  # type: ignore[return-value]


def check(project: Path, sizes: Sizes) -> None:
    """Compare the counts of all outputs with what was written.

    Raises:
        AssertionError: One differs; it is named.
    """
    import pandas as pd

    from vixml.core.directories import open_sealed
    from vixml.data.dataset import Dataset
    from vixml.serving.bundle import PredictorBundle

    data = project / "data"
    dataset = Dataset(open_sealed(data / "03_primary" / "scale" / "dataset"))
    excluded = dataset.filter("test")
    _equal("training relevance", dataset.relevance("train").shape, (sizes.train, sizes.labels))
    _equal("test relevance", dataset.relevance("test").shape, (sizes.test, sizes.labels))
    raw = data / "01_raw" / "scale" / "filter_labels_test.txt"
    _equal("filter pairs", excluded.nnz, sum(1 for _ in raw.open(encoding="ascii")))
    output = data / "07_model_output" / "scale" / VARIANT
    embeddings, predictions = output / "embeddings", output / "predictions"
    for name, rows in (("test_queries", sizes.test), ("label_texts", sizes.labels), ("label_prototypes", sizes.labels)):
        _equal(name, _array(embeddings / f"{name}.npy").shape, (rows, WIDTH))
    labels = _array(predictions / "labels.npy")
    _equal("ranked labels", labels.shape, (sizes.test, DEPTH))
    found = labels[excluded.nonzero()[0]] == excluded.nonzero()[1][:, None]
    _equal("excluded labels among the ranked ones", int(found.sum()), 0)
    _equal("ranked labels that are none", int((labels < 0).sum() + (labels >= sizes.labels).sum()), 0)
    tables = list((data / "07_model_output" / "scale").glob("prediction*/*.parquet"))
    _equal("files of predictions", len(tables), 1)
    predicted = pd.read_parquet(tables[0])["query_id"]
    _equal("predictions", (predicted.nunique(), len(predicted)), (sizes.asked, sizes.asked * ASKED))
    updated = PredictorBundle.open(data / "06_models" / "scale" / VARIANT / "updated_predictor")
    _equal("labels after the update", len(updated.labels), sizes.labels + ADDED)
    report = next((data / "08_reporting" / "scale").glob("**/report.html"), None)
    _equal("report", report is not None, True)


def _array(file: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def _equal(what: str, found: object, expected: object) -> None:
    assert found == expected, f"{what}: {found}, expected {expected}"


def table(stages: list[Stage]) -> str:
    """Return a line a stage as a Markdown table."""
    lines = ["| stage | seconds | memory, GiB | with files, GiB |", "|---|---|---|---|"]
    whole = Stage("all", sum(s.seconds for s in stages), max(s.own for s in stages), max(s.mapped for s in stages))
    lines += [
        f"| {row.name} | {row.seconds:.0f} | {row.own / 2**30:.2f} | {row.mapped / 2**30:.2f} |"
        for row in [*stages, whole]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
