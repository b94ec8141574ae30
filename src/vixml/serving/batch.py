"""Predictions for a file of queries of any length: block by block, in constant memory, resumable after a kill.

Each finished block is one Parquet file in the work directory, in a folder whose name hashes everything it depends on. A
rerun skips the blocks that are there; the result is joined from all of them and appears whole. Several processes each
predict a share of the blocks before.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Absent
from vixml.core.directories import Built, SealedDirectory, WorkDirectory, atomic_file, hash_file
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.core.guards.spreadsheet import escape_table
from vixml.core.heap import release_memory
from vixml.core.progress import progress
from vixml.core.provenance import fingerprint_json
from vixml.data.items import clean_text
from vixml.distributed import group
from vixml.distributed.job import run_in_ranks
from vixml.distributed.launch import Machines
from vixml.distributed.machines import processes_on
from vixml.images.decode import read_bytes
from vixml.images.names import find_image
from vixml.ingestion.ledger import Ledger
from vixml.params.prediction import PredictionParams
from vixml.serving.answers import Ranked, Selection, known
from vixml.serving.filters import ExcludedPairs, allowed_rows, hash_ids, read_label_list
from vixml.serving.predictor import Predictor
from vixml.serving.query_files import QueryBlock, query_blocks

if TYPE_CHECKING:
    import pyarrow as pa

    from vixml.serving.encoder import ImageLike

KIND = "prediction"
_FORMAT = 3  # raise it when the content of a part changes its meaning
_COUNTS = b"vixml_counts"
_HOW_READ = ("id_column", "text_columns", "image_columns", "delimiter", "encoding", "quoting")
_SPEED_ONLY = {"name", "device", "processes", "format", "escape_formulas"}
_log = logging.getLogger(__name__)


def open_predictor(params: PredictionParams, published: Mapping[str, SealedDirectory | None]) -> Predictor:
    """Open the model that the parameters name.

    Args:
        params: Model, device, precision.
        published: The predictors at hand, by variant.

    Raises:
        ConfigError: No queries are named, or the model is neither a variant nor a folder.
        StateError: The model is not trained yet.
    """
    name = params.model
    if params.queries is None:
        raise ConfigError("no queries are named", remedy="pass `--params prediction.queries=FILE`.")
    sealed = published.get(name)
    if name in published and sealed is None:
        remedy = f"run `kedro run --pipelines={name}` first, or name another model by prediction.model."
        raise StateError(f"there is no predictor of {name} yet", remedy=remedy)
    folder = Path(name).expanduser() if sealed is None else sealed.path
    if not folder.is_dir():
        expected = f"{', '.join(published)}, or the folder of a predictor"
        raise ConfigError("prediction.model names no model", found=name, expected=expected)
    return Predictor.open(folder, device=params.device, precision=params.precision, exact=params.exact)


def predict_together(
    params: PredictionParams, published: Mapping[str, SealedDirectory | None], work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Predict the labels of every query of `params.queries`, in as many processes as the parameters say.

    Args:
        params: Model, queries, filters, form, number of processes.
        published: The predictors at hand, by variant.
        work: As for `predict_file`.
    """
    started, done = time.perf_counter(), 0
    processes = processes_on(params.device, params.processes, "prediction")
    if processes > 1:
        given = {"params": params, "published": dict(published), "work": work}
        folder, machines = work.path / "blocks.ranks", Machines(processes)
        done = run_in_ranks("vixml.serving.batch:predict_share", given, folder=folder, machines=machines)
    return predict_file(open_predictor(params, published), params, work, started=started, done=done)


def predict_share(
    params: PredictionParams, published: Mapping[str, SealedDirectory | None], work: WorkDirectory
) -> int:
    """Write the blocks that are this rank's; return how many queries all ranks have predicted."""
    predictor = open_predictor(params, published)
    parts, done = Path(group.decided(lambda: str(_parts_folder(predictor, params, work)))), 0
    for number, (block, predicted) in enumerate(_predicted_blocks(predictor, params, parts, Ledger())):
        if predicted is not None:
            _write_part(parts / f"{number:08d}.parquet", predicted)
            release_memory()
            done += len(block)
    return int(group.put_together(np.array([done]))[0])


def predict_file(
    predictor: Predictor,
    params: PredictionParams,
    work: WorkDirectory,
    *,
    started: float | None = None,
    done: int = 0,
) -> tuple[Built, dict[str, Any]]:
    """Predict the labels of every query of `params.queries`.

    Args:
        predictor: The model.
        params: Queries, filters, form.
        work: Holds the finished blocks until the result is complete.
        started: When other processes began to predict blocks of this run.
        done: How many queries they predicted.

    Returns:
        A folder with `predictions.<format>` (query_id, rank from 1, label_id, label_text, score, probability: the rows
        of a query together and in order, queries in the order of their file; no probability where the model has
        none), and a report: queries, predictions, unreadable images by reason, queries whose id an earlier one has,
        what is known of the probabilities, seconds, queries per second.

    Raises:
        DataError: A file is missing or malformed, or the filters leave no label.
        ConfigError: Probabilities are asked for, and the model has none or keeps no such precision.
    """
    started = time.perf_counter() if started is None else started
    chosen = _selection(params)
    calibration = predictor.calibration
    if chosen.asks_probabilities:
        known(calibration)
    threshold = chosen.threshold(calibration)
    if isinstance(calibration, Absent):
        _log.info("%s", calibration.absent)
    parts, files, hashes, ledger = _parts_folder(predictor, params, work), [], [], Ledger()
    for number, (block, predicted) in enumerate(_predicted_blocks(predictor, params, parts, ledger)):
        files.append(parts / f"{number:08d}.parquet")
        hashes.append(hash_ids(block.ids))
        if predicted is not None:
            _write_part(files[-1], predicted)
            release_memory()
            done += len(block)
    ledger.balance()
    folder = work.fresh(KIND)
    output = folder / f"predictions.{params.format}"
    counts = {**_join(files, output, params), "repeated_ids": _repeated(hashes)}
    shutil.rmtree(parts)
    report = {
        **counts,
        "queries_of_this_run": done,
        "ledger": ledger.report(),
        "model": predictor.bundle.settings.variant,
        "probabilities": calibration.model_dump() if isinstance(calibration, Absent) else calibration.report,
        "threshold": None if threshold is None else threshold.facts(),
        "file": output.name,
        **_speed(done, time.perf_counter() - started),
    }
    return Built(folder, KIND, {**counts, "k": params.k, "model": predictor.bundle.sealed.fingerprint}), report


def _speed(done: int, seconds: float) -> dict[str, float]:
    return {"seconds": round(seconds, 2), "queries_per_second": round(done / seconds, 1)}


def _repeated(hashes: Sequence[NDArray[np.uint64]]) -> int:
    """Return how many queries have the id of an earlier one, from 8 bytes a query; warn if there are any."""
    every = np.concatenate(hashes)
    repeated = len(every) - len(np.unique(every))
    if repeated:
        _log.warning("%d queries have the id of an earlier one: each is predicted, but its rows look alike.", repeated)
    return repeated


def _parts_folder(predictor: Predictor, params: PredictionParams, work: WorkDirectory) -> Path:
    """Return the folder of this prediction's blocks; blocks of other queries, models or settings are removed."""
    files = {
        name: hash_file(_file(path))
        for name in ("queries", "exclude", "allow", "deny")
        if (path := getattr(params, name))
    }
    settings = params.model_dump(mode="json", exclude=_SPEED_ONLY)
    key = fingerprint_json([_FORMAT, settings, files, predictor.bundle.sealed.fingerprint])
    folder = work.path / f"parts-{key[:24]}"
    for stale in set(work.path.glob("parts-*")) - {folder}:
        shutil.rmtree(stale)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file(name: str) -> Path:
    file = Path(name).expanduser()
    if not file.is_file():
        remedy = "check the path in the parameters of `prediction`; it is relative to the project's folder."
        raise DataError("the file is missing", file=file, remedy=remedy)
    return file


def _predicted_blocks(
    predictor: Predictor, params: PredictionParams, parts: Path, ledger: Ledger
) -> Iterator[tuple[QueryBlock, pa.Table | None]]:
    """Yield each block with its predictions, or with None where it is finished or another rank's; fill the ledger."""
    assert params.queries is not None
    file = _file(params.queries)
    roots = [folder.resolve() for folder in _image_folders(params)]
    allow, deny = (
        None if name is None else read_label_list(_file(name), ledger.entry(Path(name)), predictor.rows_of)
        for name in (params.allow, params.deny)
    )
    among = allowed_rows(predictor.num_labels, allow, deny, predictor.rows_of)
    pairs = None
    if params.exclude is not None:
        entry = ledger.entry(Path(params.exclude))
        pairs = ExcludedPairs.read(_file(params.exclude), predictor.num_labels, predictor.rows_of, entry)
    columns: Any = {name: getattr(params, name) for name in _HOW_READ}
    columns["entry"] = ledger.entry(file)
    labels = _label_table(predictor)
    with progress(desc="predict", unit="query") as bar:
        for number, block in enumerate(query_blocks(file, params.block_size, **columns)):
            theirs = number % group.num_ranks() != group.rank()
            if theirs or (parts / f"{number:08d}.parquet").is_file():
                yield block, None
            else:
                failures: list[tuple[int, str]] = []
                repairs = Counter[str]()
                texts = [clean_text(text, repairs) for text in block.texts]
                images = [[_reader(roots, name) for name in names] for names in block.images]
                exclude = None if pairs is None else pairs.of(block.ids)
                how: Any = {"exclude": exclude, "among": among, "selection": _selection(params)}
                found = predictor.search(texts, images, params.k, failures=failures, **how)
                rows = found.rows
                counts = {
                    "queries": len(block),
                    "queries_with_fewer_than_k": int(((rows >= 0).sum(axis=1) < params.k).sum()),
                    "queries_without_a_label": int((rows < 0).all(axis=1).sum()),
                    "unreadable_images": Counter(reason for _, reason in failures),
                    "repairs": repairs,
                }
                yield block, _table(labels, block.ids, found, counts)
            bar.update(len(block))


def _selection(params: PredictionParams) -> Selection:
    return Selection(params.min_probability, params.min_precision, params.max_labels)


def _image_folders(params: PredictionParams) -> list[Path]:
    """Return where images are looked for: in the folder that is set; beside the file; there in one of the same name."""
    beside = Path(params.queries or "").expanduser().parent
    if params.images_root is None:
        return [beside]
    folder = Path(params.images_root).expanduser()
    return [folder, beside, beside / folder.name]


def _reader(roots: Sequence[Path], name: str) -> ImageLike:
    """Return what reads an image from the first folder that has it."""
    for root in roots:
        if (inside := find_image(root, name)) is not None:
            return partial(read_bytes, root, inside)
    return partial(read_bytes, roots[0], name)  # reports what is wrong with it


def _label_table(predictor: Predictor) -> pa.Table:
    import pyarrow as pa

    columns = (("label_id", "uid"), ("label_text", "text"))
    return pa.table({name: pa.array(predictor.labels[column], pa.string()) for name, column in columns})


def _table(labels: pa.Table, ids: Sequence[str], ranked: Ranked, counts: dict[str, Any]) -> pa.Table:
    """Return the predictions of one block, a row a predicted label; `counts` travel in the table's metadata."""
    import pyarrow as pa

    query, place = np.nonzero(ranked.rows >= 0)
    chosen = labels.take(pa.array(ranked.rows[query, place]))
    likely = np.full(len(query), np.nan) if ranked.probabilities is None else ranked.probabilities[query, place]
    table = pa.table(
        {
            "query_id": pa.array(ids, pa.string()).take(pa.array(query)),
            "rank": pa.array(place + 1, pa.int32()),
            "label_id": chosen["label_id"],
            "label_text": chosen["label_text"],
            "score": pa.array(ranked.scores[query, place], pa.float32()),
            "probability": pa.array(likely, pa.float32(), from_pandas=True),  # NaN is null
        }
    )
    return table.replace_schema_metadata({_COUNTS: json.dumps(counts)})


def _write_part(file: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with atomic_file(file) as temporary:
        pq.write_table(table, temporary)


def _join(files: Sequence[Path], output: Path, params: PredictionParams) -> dict[str, Any]:
    """Write the predictions of all parts into one file, a part at a time; return the counts of all.

    Raises:
        DataError: There is no query at all.
    """
    import pyarrow.parquet as pq

    if not files:
        raise DataError("the file of queries holds no query")
    queries, predictions, fewer, without, unreadable, repairs = 0, 0, 0, 0, Counter[str](), Counter[str]()
    writer: Any = None
    try:
        for file in files:
            table = pq.read_table(file)
            counts = json.loads(table.schema.metadata[_COUNTS])
            queries += counts["queries"]
            fewer += counts["queries_with_fewer_than_k"]
            without += counts.get("queries_without_a_label", 0)
            predictions += len(table)
            unreadable.update(counts["unreadable_images"])
            repairs.update(counts.get("repairs", {}))
            table = table.replace_schema_metadata(None)
            if params.format == "csv" and params.escape_formulas:
                table = escape_table(table)
            writer = writer or _writer(output, params.format, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    if unreadable:
        missed = ", ".join(f"{count:,} {reason}" for reason, count in unreadable.items())
        folders = ", ".join(map(str, _image_folders(params)))
        _log.warning("Images that could not be read count as absent: %s. They were looked for in %s.", missed, folders)
    if repairs:
        _log.warning("Texts of queries were repaired, as those of ingestion are: %s.", dict(repairs))
    chosen = _selection(params)
    if fewer and not chosen.asks_probabilities and chosen.max_labels is None:
        _log.warning("%d of %d queries got fewer than %d labels.", fewer, queries, params.k)
    return {
        "queries": queries,
        "predictions": predictions,
        "queries_with_fewer_than_k": fewer,
        "queries_without_a_label": without,
        "unreadable_images": dict(unreadable),
        "repairs": dict(repairs),
    }


def _writer(output: Path, form: str, schema: pa.Schema) -> Any:
    if form == "parquet":
        from pyarrow.parquet import ParquetWriter

        return ParquetWriter(output, schema)
    if form == "csv":
        from pyarrow.csv import CSVWriter

        return CSVWriter(output, schema)
    return _JSONLinesWriter(output)


class _JSONLinesWriter:
    """Writes tables as JSON lines, with the two methods of pyarrow's writers."""

    def __init__(self, output: Path) -> None:
        self._stream = output.open("w", encoding="utf-8")

    def write_table(self, table: pa.Table) -> None:
        """Append the rows."""
        self._stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())

    def close(self) -> None:
        """Finish the file."""
        self._stream.close()
