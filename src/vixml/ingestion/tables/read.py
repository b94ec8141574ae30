"""A user's own tables: queries, labels and pairs become what the benchmark's raw files are to ingestion.

`data.mapping` says which column is what. Whatever a newcomer's tables hold and a run can do without (pairs of unknown
ids, repeated rows, empty ids, missing images) is counted and reported, never fatal.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vixml.core.directories import atomic_file
from vixml.core.errors import DataError
from vixml.data.ragged import offsets_of
from vixml.data.sides import QUERY_SIDES, Side
from vixml.ingestion.ledger import Ledger
from vixml.ingestion.source import RawSide, Source
from vixml.ingestion.tables.files import files_of, read_table
from vixml.ingestion.tables.items import DOWNLOADED, Images, Items
from vixml.ingestion.tables.pairs import Pairs, split_by_rule, split_sides
from vixml.ingestion.tables.table import Table
from vixml.params.data.mapping import MappingParams, TableParams, files_by_side


def read_tabular(root: Path, mapping: MappingParams, *, most_images: int) -> Source:
    """Read a user's own tables.

    Args:
        root: Folder of the tables; image paths may not leave it.
        mapping: Which column is what.
        most_images: Images of an item that are kept.

    Returns:
        The same structure that the benchmark's files give. Labels stand in the order of their table, or of their first
        pair where there is none; queries in the order of theirs.

    Raises:
        DataError: A table or column is missing or malformed, an image path leaves the root, no pair names a known query
            and label, or one side of the split stays empty.
    """
    counts: Counter[str] = Counter()
    ledger = Ledger(root)
    if (root / DOWNLOADED).is_file():
        ledger.use(root / DOWNLOADED)
    images = Images(root, most_images, counts)
    queries, labels = Items("queries"), Items("labels")
    if mapping.labels is not None:
        labels.read(_read(root, mapping.labels, ledger), mapping.labels, images, ledger)
    pairs = Pairs(labels, open_labels=mapping.labels is None, counts=counts)
    side_of_query, pair_split = _read_queries(root, mapping, queries, pairs, images, ledger)
    by_pairs = _read_pairs(root, mapping, queries, pairs, pair_split, ledger)
    side = np.array(pairs.side, dtype=np.int64) if by_pairs else side_of_query[np.array(pairs.query, dtype=np.int64)]
    members = {name: _members(name.code, side_of_query, pairs, side if by_pairs else None) for name in QUERY_SIDES}
    _check_sides(root, mapping, members)
    counts["queries_without_split"] = len(queries.texts) - len(np.unique(np.concatenate(list(members.values()))))
    blocks = {Side.TRAIN: (Side.TRAIN, Side.VALIDATION), Side.TEST: (Side.TEST,)}
    sides, filters = {Side.LABEL: _items_side(root, labels, range(len(labels.texts)))}, {}
    for name, parts in blocks.items():
        rows = [(part.code, members[part]) for part in parts]
        sides[name], filters[name] = _points_side(root, queries, rows, pairs, side)
    num_train = len(members[Side.TRAIN])
    images_of = {name: [queries.images[i] for part in parts for i in members[part]] for name, parts in blocks.items()}
    return Source(
        sides=sides,
        images={**images_of, Side.LABEL: labels.images},
        filters=filters,
        repairs=dict(counts),
        ledger=ledger,
        validation=np.arange(num_train, len(sides[Side.TRAIN])) if len(members[Side.VALIDATION]) else None,
        facts={
            "tables": {
                "files": mapping.files,
                "queries": len(queries.texts),
                "labels": len(labels.texts),
                "pairs": len(pairs.query),
                "split_by": mapping.split.by,
                **pairs.examples,
            }
        },
    )


def write_tables(
    folder: str | Path, *, queries: pd.DataFrame, labels: pd.DataFrame | None = None, pairs: pd.DataFrame | None = None
) -> list[Path]:
    """Write data frames as the Parquet files that `vixml init-data FOLDER` then looks at.

    Args:
        folder: Where to; made if it is not there. Image paths in the frames are relative to it.
        queries: One query a row: an id, a text, perhaps images and, without `pairs`, a column that lists the labels.
        labels: One label a row: an id, a text, perhaps images; None where labels are only named.
        pairs: One relevant pair a row: the query's id, the label's id, perhaps a weight and a split.

    Returns:
        The files.

    Raises:
        DataError: A frame has no row or cannot be written.
    """
    written = []
    for name, frame in (("queries", queries), ("labels", labels), ("pairs", pairs)):
        if frame is None:
            continue
        file = Path(folder) / f"{name}.parquet"
        if not len(frame):
            raise DataError(f"the frame `{name}` has no row", file=file, expected="at least one row")
        columns = {str(column): frame[column].map(_plain) for column in frame.columns}
        try:
            with atomic_file(file) as temporary:
                pd.DataFrame(columns).to_parquet(temporary, index=False)
        except (TypeError, ValueError) as err:  # pyarrow's errors are of these
            raise DataError(
                f"the frame `{name}` cannot be written", file=file, found=err, expected="one type of value a column"
            ) from err
        written.append(file)
    return written


def _plain(value: Any) -> Any:
    """Return a cell as Parquet takes it: paths as texts, also within lists; tuples, sets and arrays as lists."""
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        entries = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_plain(entry) for entry in entries]
    return value.as_posix() if isinstance(value, Path) else value


def _read(root: Path, params: TableParams, ledger: Ledger, file: str | None = None) -> Table:
    path = root / (file or params.file)
    ledger.use(*files_of(path))
    return read_table(path, delimiter=params.delimiter, encoding=params.encoding, quoting=params.quoting)


def _read_queries(
    root: Path, mapping: MappingParams, queries: Items, pairs: Pairs, images: Images, ledger: Ledger
) -> tuple[NDArray[np.int64], str | None]:
    """Read the queries, and the pairs that their table lists.

    Returns:
        The side of each query, int64 [n], and the column of the pair table that says the sides instead, or None.
    """
    params, split = mapping.queries, mapping.split
    side_of: dict[int, int] = {}
    column_is_here = False
    for side_name, file in files_by_side(params).items():
        table = _read(root, params, ledger, file)
        numbers = queries.read(table, params, images, ledger)
        for column, separators in params.lists_of_labels.items():
            pairs.read_column(table, column, numbers, separators, ledger)
        column_is_here = split.column is not None and (split.column in table.columns or mapping.pairs is None)
        if column_is_here and split.column is not None:
            ledger.entry(table.file).names((), [split.column])
            for number, side in zip(numbers, split_sides(table, split.column), strict=True):
                side_of.setdefault(number, side)
        elif split.by == "file":
            for number in numbers:
                side_of.setdefault(number, Side(side_name).code)
    if split.by == "file":
        return np.array([side_of[number] for number in range(len(queries.texts))], dtype=np.int64), None
    if split.column is not None:
        sides = np.array([side_of.get(number, Side.TRAIN.code) for number in range(len(queries.texts))], dtype=np.int64)
        return sides, None if column_is_here else split.column
    return split_by_rule(split, list(queries.row_of)), None


def _read_pairs(
    root: Path, mapping: MappingParams, queries: Items, pairs: Pairs, split_column: str | None, ledger: Ledger
) -> bool:
    """Read the pair tables, where there are any; return whether the pairs say the sides, and not the queries.

    Args:
        root: Folder of the tables.
        mapping: Which column is what.
        queries: The queries.
        pairs: What the pairs are added to.
        split_column: Column of the pair table that says the sides, if one does.
        ledger: Notes which files are used.

    Raises:
        DataError: A table is malformed, or there is no pair now.
    """
    by_pairs = split_column is not None
    if mapping.pairs is not None:
        by_pairs |= mapping.split.by == "file" and mapping.queries.test_file is None
        for name, file in files_by_side(mapping.pairs).items():
            table, code = _read(root, mapping.pairs, ledger, file), Side(name).code if by_pairs else None
            pairs.read_table(table, mapping.pairs, queries, code if split_column is None else split_column, ledger)
    if not pairs.query:
        raise DataError(
            "no pair names a known query and a known label",
            file=root / (mapping.pairs or mapping.queries).file,
            found=pairs.examples or "no pair",
            expected="the ids of `data.mapping.queries` and `data.mapping.labels`",
            remedy="check which columns the mapping takes for ids (spelling, leading zeros).",
        )
    return by_pairs


def _members(
    code: int, side_of_query: NDArray[np.int64], pairs: Pairs, side_of_pair: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the queries of one side, ascending: those that the split puts there, or those with a pair there."""
    if side_of_pair is None:
        return np.flatnonzero(side_of_query == code)
    return np.unique(np.array(pairs.query, dtype=np.int64)[side_of_pair == code])


def _check_sides(root: Path, mapping: MappingParams, members: dict[Side, NDArray[np.int64]]) -> None:
    for side, name in ((Side.TRAIN, "training"), (Side.TEST, "test")):
        if not len(members[side]):
            raise DataError(
                f"the {name} side is empty",
                file=root / mapping.queries.file,
                found=f"split by {mapping.split.by}",
                expected="at least one query on each side",
                remedy="choose another `data.mapping.split` (a larger test_fraction, or `by: last`).",
            )


def _items_side(root: Path, items: Items, rows: Any) -> RawSide:
    uids, count = list(items.row_of), len(rows)
    return RawSide(
        file=root,
        uids=[uids[row] for row in rows],
        titles=[items.texts[row] for row in rows],
        contents=[""] * count,
        lines=np.arange(1, count + 1),
        offsets=np.zeros(count + 1, dtype=np.int64),
        targets=np.zeros(0, dtype=np.int64),
        relevance=np.zeros(0, dtype=np.float32),
        num_without_content=count,
    )


def _points_side(
    root: Path, queries: Items, parts: list[tuple[int, NDArray[np.int64]]], pairs: Pairs, side: NDArray[np.int64]
) -> tuple[RawSide, csr_matrix]:
    """Put the queries of one or two sides below each other, with their pairs and filter pairs.

    A pair that is relevant on an earlier side (training before validation before test) is filtered on a later one.
    """
    query, label = np.array(pairs.query, dtype=np.int64), np.array(pairs.label, dtype=np.int64)
    weight = np.array(pairs.weight, dtype=np.float32)
    num_labels, begin = len(pairs.labels.texts), 0
    found, filtered = [], []
    for code, rows in parts:
        position = np.minimum(np.searchsorted(rows, query), max(len(rows) - 1, 0))
        here = rows[position] == query if len(rows) else np.zeros(len(query), dtype=bool)
        own, earlier = here & (side == code), here & (side < code)
        keys = (begin + position) * num_labels + label
        found.append((begin + position[own], label[own], weight[own]))
        filtered.append(np.setdiff1d(keys[earlier], keys[own]))
        begin += len(rows)
    row, targets, relevance = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order, keys = np.argsort(row, kind="stable"), np.concatenate(filtered)
    plain = _items_side(root, queries, np.concatenate([rows for _, rows in parts]))
    full = RawSide(
        **{
            **vars(plain),
            "offsets": offsets_of(np.bincount(row, minlength=begin)),
            "targets": targets[order],
            "relevance": relevance[order],
        }
    )
    ones = np.ones(len(keys), dtype=np.float32)
    offsets = offsets_of(np.bincount(keys // num_labels, minlength=begin))
    return full, csr_matrix((ones, keys % num_labels, offsets), shape=(begin, num_labels))
