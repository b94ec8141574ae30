"""Ingestion: a folder of raw files becomes items, relevance, filter pairs and a report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vixml.core.errors import ConfigError, DataError
from vixml.data.items import PLACEHOLDER
from vixml.data.sides import QUERY_SIDES, SHORT_NAMES, Side
from vixml.images.precomputed import read_embedding_rows
from vixml.ingestion.benchmark.json_lines import read_filter, read_side, relevance_matrix
from vixml.ingestion.benchmark.layouts import find_file, find_raw_file, layout_of
from vixml.ingestion.benchmark.text_lines import read_sparse_layout
from vixml.ingestion.corrections import correct_pairs
from vixml.ingestion.ledger import Ledger, check_losses, warn_of_losses
from vixml.ingestion.manifests import read_groups, read_images
from vixml.ingestion.report import build_report
from vixml.ingestion.source import RawSide, Source
from vixml.ingestion.splits import automatic_fraction, carve_validation
from vixml.ingestion.tables.read import read_tabular
from vixml.params.data.ingestion import DataParams

_log = logging.getLogger(__name__)

MOST_CHARACTERS = 20_000
"""Longer texts are cut: an encoder reads a few hundred words, and a file in a title must not fill the memory."""


@dataclass(frozen=True)
class Ingested:
    """Everything that later stages know of the raw files.

    Items are data frames with columns uid (str), text (str) and images (list of POSIX paths relative to the raw root),
    in raw order. Relevance and filters are csr_matrix float32 (points, labels) with sorted indices; filters are all
    ones.
    """

    items_train: pd.DataFrame
    items_validation: pd.DataFrame
    items_test: pd.DataFrame
    items_label: pd.DataFrame
    relevance_train: csr_matrix
    relevance_validation: csr_matrix
    relevance_test: csr_matrix
    filter_train: csr_matrix
    filter_validation: csr_matrix
    filter_test: csr_matrix
    report: dict[str, Any]


def ingest(raw: Path, params: DataParams, seed: int) -> Ingested:
    """Read a folder of raw files in the benchmark's format, or a user's own tables where `params.mapping` says so.

    Args:
        raw: Folder with trn, tst, lbl (`.json.gz` or `.json`), and optionally filter files, an image manifest, groups.
        params: Text fields, validation fraction, images an item.
        seed: Seed of the validation split.

    Returns:
        Items, relevance, filters and the data report.

    Raises:
        DataError: A file is missing or malformed, or contradicts another one.
        ConfigError: The validation fraction cannot be met.
    """
    source = _read_benchmark(raw, params) if params.mapping is None else _read_tables(raw, params)
    sides, filters, repairs = source.sides, source.filters, Counter(source.repairs)
    items = {name: _items(side, source.images[name], params.text_fields, repairs) for name, side in sides.items()}
    relevance = {}
    for side in (Side.TRAIN, Side.TEST):
        relevance[side], found = relevance_matrix(sides[side], len(sides[Side.LABEL]))
        repairs.update(found)
    if params.corrections is not None:
        file = Path(params.corrections)
        relevance[Side.TRAIN] = correct_pairs(
            relevance[Side.TRAIN],
            file,
            queries=sides[Side.TRAIN].uids,
            labels=sides[Side.LABEL].uids,
            entry=source.ledger.entry(file, "proposals"),
        )
    train, validation = _split(raw, source, params, seed)
    source.ledger.balance()
    if params.image_embeddings is None:
        source.ledger.name_pictures(name for side in source.images.values() for names in side for name in names)
    ledger = source.ledger.report()
    check_losses(ledger, params.max_lost)
    warn_of_losses(ledger)
    ingested = Ingested(
        items_train=items[Side.TRAIN].iloc[train].reset_index(drop=True),
        items_validation=items[Side.TRAIN].iloc[validation].reset_index(drop=True),
        items_test=items[Side.TEST],
        items_label=items[Side.LABEL],
        relevance_train=relevance[Side.TRAIN][train],
        relevance_validation=relevance[Side.TRAIN][validation],
        relevance_test=relevance[Side.TEST],
        filter_train=filters[Side.TRAIN][train],
        filter_validation=filters[Side.TRAIN][validation],
        filter_test=filters[Side.TEST],
        report={},
    )
    _warn_of_nothing_to_measure(ingested)
    _warn_of_missing_images(repairs)
    return replace(ingested, report={**_report(ingested, repairs), **source.facts, "ledger": ledger})


def _warn_of_missing_images(repairs: Mapping[str, int]) -> None:
    if number := repairs.get("image_files_missing"):
        _log.warning("%s image files that items name do not exist; the items are read without them.", f"{number:,}")


def _warn_of_nothing_to_measure(ingested: Ingested) -> None:
    """Say loudly where every metric will be 0: no query of a side has a label."""
    for side, relevance in (("test", ingested.relevance_test), ("validation", ingested.relevance_validation)):
        if relevance.shape[0] and not relevance.nnz:
            _log.warning(
                "NO %s QUERY HAS A LABEL: every metric of the %s side will be 0. Do its pairs name other ids than its "
                "queries? See `points_without_labels` and `ledger` in the data report.",
                side.upper(),
                side,
            )


def _read_benchmark(raw: Path, params: DataParams) -> Source:
    """Read the sides in whatever layout they come, the filter files, and the image manifest or embeddings."""
    repairs: Counter[str] = Counter()
    ledger, with_content = Ledger(raw), params.text_fields != "title"
    if layout_of(raw) == "sparse":
        sides = read_sparse_layout(raw, repairs, ledger)
    else:
        files = {side: find_raw_file(raw, side) for side in SHORT_NAMES}
        sides = {
            side: read_side(file, with_targets=side != Side.LABEL, with_content=with_content, entry=ledger.entry(file))
            for side, file in files.items()
        }
    demanded = params.text_fields == "title+content"
    if demanded and all(side.num_without_content == len(side) for side in sides.values()):
        raise DataError(
            "no line of any file has the field `content`",
            file=raw,
            expected="title and content, as `data.text_fields` asks",
            remedy="set `data.text_fields: title`.",
        )
    most, filters = params.max_images_per_item, {}
    if params.image_embeddings is None:
        uids = {name: side.uids for name, side in sides.items()}
        images, found = read_images(raw, uids, most=most, ledger=ledger)
    else:
        counts = {name: len(side) for name, side in sides.items()}
        images, found = read_embedding_rows(raw, params.image_embeddings, counts, most=most)
        ledger.use(*(path for path in (raw / params.image_embeddings).rglob("*") if path.suffix in (".npy", ".pkl")))
    repairs.update(found)
    for side in (Side.TRAIN, Side.TEST):
        name = f"filter_labels_{side}.txt"
        file = find_file(raw, [name])
        filters[side], found = read_filter(
            file or raw / name,
            len(sides[side]),
            len(sides[Side.LABEL]),
            entry=None if file is None else ledger.entry(file, "pairs"),
        )
        repairs.update(found)
    return Source(sides, images, filters, repairs, ledger=ledger)


def _read_tables(raw: Path, params: DataParams) -> Source:
    """Read a user's own tables, whose mapping lists the columns of the text itself."""
    if params.mapping is None or params.text_fields == "title+content":
        raise ConfigError(
            "`data.text_fields` does not go with `data.mapping`",
            found=params.text_fields,
            remedy="list the columns in `data.mapping.queries.text` and `data.mapping.labels.text`.",
        )
    return read_tabular(raw, params.mapping, most_images=params.max_images_per_item)


def _split(raw: Path, source: Source, params: DataParams, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of training and of validation: as the files say, or carved by `validation_fraction`."""
    points, fraction = source.sides[Side.TRAIN], params.validation_fraction
    if source.validation is None:
        if fraction == "auto":
            fraction = automatic_fraction(len(points))
        groups = read_groups(raw, Side.TRAIN, points.uids, ledger=source.ledger) if fraction > 0 else None
        return carve_validation(len(points), fraction, seed, groups)
    if fraction != "auto" and fraction > 0:
        raise ConfigError(
            "the tables already set validation queries aside",
            file=raw,
            found=f"{len(source.validation)} of them, and data.validation_fraction {fraction}",
            remedy="set `data.validation_fraction: 0`, or rename the split in the tables.",
        )
    return np.setdiff1d(np.arange(len(points)), source.validation), source.validation


def _report(ingested: Ingested, repairs: Mapping[str, int]) -> dict[str, Any]:
    return build_report(
        items={side: getattr(ingested, f"items_{side}") for side in Side},
        relevance={side: getattr(ingested, f"relevance_{side}") for side in QUERY_SIDES},
        filters={side: getattr(ingested, f"filter_{side}") for side in QUERY_SIDES},
        repairs=repairs,
    )


def _items(side: RawSide, images: list[list[str]], text_fields: str, repairs: Counter[str]) -> pd.DataFrame:
    texts, found = _texts(side, text_fields)
    repairs.update(found)
    return pd.DataFrame(
        {
            "uid": pd.Series(side.uids, dtype="str"),
            "text": pd.Series(texts, dtype="str"),
            "images": pd.Series(images, dtype="object"),
        }
    )


def _texts(side: RawSide, text_fields: str) -> tuple[list[str], dict[str, int]]:
    """Return one clean text an item (white space runs become one space), and the numbers of repairs."""
    with_content = text_fields != "title"
    counts = {
        "texts_taken_from_content": 0,
        "empty_texts_replaced": 0,
        "texts_with_broken_characters": 0,
        "long_texts_cut": 0,
    }
    texts = []
    for title, content in zip(side.titles, side.contents, strict=True):
        text = " ".join((f"{title} {content}" if with_content else title).split())
        if not text and content:
            text = " ".join(content.split())
            counts["texts_taken_from_content"] += bool(text)
        if len(text) > MOST_CHARACTERS:
            text = text[:MOST_CHARACTERS].rstrip()
            counts["long_texts_cut"] += 1
        if not text.isascii():
            clean = text.encode(errors="replace").decode()
            counts["texts_with_broken_characters"] += clean != text
            text = clean
        if not text:
            text = PLACEHOLDER
            counts["empty_texts_replaced"] += 1
        texts.append(text)
    return texts, counts
