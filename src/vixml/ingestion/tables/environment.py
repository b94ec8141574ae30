"""A user's environment: what `vixml init-data` found, as a table to read and as `conf/<name>/`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vixml.configuration.choice import AUTO, DataFacts, choose_recipe
from vixml.configuration.recipes import FAMILIES, packaged_recipes
from vixml.configuration.sections import PROJECT_DEFAULTS
from vixml.core.accelerator import has_gpu
from vixml.core.directories import atomic_file
from vixml.core.errors import ConfigError
from vixml.params.data.ingestion import DataParams
from vixml.params.data.mapping import MappingParams

_NOT_SHOWN = ("file", "delimiter", "encoding", "quoting", "image_folder", "separators", "label_separators")
_RESERVED = ("base", "local", "demo")


def describe(mapping: MappingParams) -> list[tuple[str, str, str]]:
    """Return the proposed mapping as rows: what, column or file, option that changes it."""
    rows = []
    for name in ("queries", "labels", "pairs"):
        table = getattr(mapping, name)
        rows.append((name, table.file if table else _absent(name), f"--{name} FILE"))
        singular = {"queries": "query", "labels": "label", "pairs": "pair"}[name]
        for field, value in table.model_dump().items() if table else ():
            if field not in _NOT_SHOWN:
                is_file = field.endswith("_file")
                option = f"--{field[:-5]}-{name} FILE" if is_file else f"--{singular}-{field} COLUMN"
                shown = ", ".join(value) if isinstance(value, list) else value
                rows.append((f"  {field}", shown or "(none)", option))
    split = mapping.split
    by = f"column {split.column}" if split.column else "test_file" if split.by == "file" else split.by
    share = f", {split.test_fraction:.0%} test" if split.by in ("hash", "last") else ""
    rows.append(("split", by + share, "--split-by hash|last|column, --split-column, --test-fraction"))
    return rows


def _absent(name: str) -> str:
    return "(listed in the table of queries)" if name == "pairs" else "(named by the pairs: the name is id and text)"


def findings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what ingestion found as rows of name and number; nothing that is zero."""
    rows = []
    for side, facts in report["sides"].items():
        if facts["items"]:
            rows.append((f"{side} items", f"{facts['items']:,}, {facts['with_image']:,} naming an image"))
    for side, labels in report["labels_per_point"].items():
        if labels["max"]:
            rows.append((f"labels per query, {side}", f"{labels['mean']:.2f} (at most {labels['max']:.0f})"))
    rows += [(f"{side} queries without a label", f"{n:,}") for side, n in report["points_without_labels"].items() if n]
    rows += [(name.replace("_", " "), f"{number:,}") for name, number in report["repairs"].items() if number]
    tables = report.get("tables", {})  # a benchmark has none
    rows += [(name.replace("_", " "), ", ".join(ids)) for name, ids in tables.items() if "unknown" in name]
    return rows


def check_name(conf: Path, name: str, *, overwrite: bool) -> Path:
    """Return the folder of the new environment.

    Raises:
        ConfigError: The name is not one, is the project's own, or is taken.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in _RESERVED:
        raise ConfigError(
            "the environment cannot be called so",
            found=name,
            expected="letters, digits, `_`, `-`; none of " + ", ".join(_RESERVED),
        )
    folder = conf / name
    if folder.exists() and not overwrite:
        raise ConfigError("the environment exists", file=folder, remedy="pass --overwrite, or another --name.")
    return folder


def write_environment(
    folder: Path,
    data_root: str,
    mapping: MappingParams | None,
    report: Mapping[str, Any],
    *,
    max_lost: float | None = None,
    corrections: str | None = None,
) -> None:
    """Write `globals.yml` and `parameters.yml` of an environment.

    Args:
        folder: conf/<name>; the name is that of the data set, too.
        data_root: The folder of the tables, absolute or relative to the project.
        mapping: Which column is what; None for a benchmark, whose layout says it.
        report: Data report of a trial ingestion; goes into a comment.
        max_lost: Share of a file that may be lost; None leaves it to the default.
        corrections: Ticked table of a label audit.
    """
    _write(
        folder / "globals.yml",
        "# str: folder name of the results, data/*/<dataset>\n"
        f"dataset: {_scalar(folder.name)}\n"
        "# str: folder of the tables and images\n"
        f"data_root: {_scalar(data_root)}\n",
    )
    found = "".join(f"#   {name}: {' '.join(value.split())}\n" for name, value in findings(report))
    data = "" if max_lost in (None, DataParams().max_lost) else f"  max_lost: {max_lost}\n"
    data += "" if corrections is None else f"  corrections: {_scalar(corrections)}\n"
    what = "A benchmark as it is published, read as with `--params data_root=FOLDER`:"
    if mapping is not None:
        what = "Your own tables, as `vixml init-data` read them; correct what is wrong, then run"
        data += "  mapping:\n" + "".join(f"    {line}\n" for line in _lines(mapping))
    named = _benchmark_columns(report) if mapping is None else _columns(mapping, data_root)
    columns = "".join(f"  {name}: {_scalar(value)}\n" for name, value in named)
    _write(
        folder / "parameters.yml",
        f"# {what}\n"
        f"#   kedro run --env={folder.name} --pipeline=study\n"
        f"# Read:\n{found}"
        + (f"data:\n{data}\n" if data else "\n")
        + "# New queries with the same columns:\n"
        + f"#   kedro run --env={folder.name} --pipeline=prediction --params prediction.queries=FILE\n"
        + (f"prediction:\n{columns}\n" if columns else "\n")
        + _recipes(sum(report["sides"][side]["items"] for side in ("train", "validation"))),
    )


def _recipes(num_queries: int) -> str:
    """Return the choice of recipes for this number of training queries, with what one may want to change."""
    facts = DataFacts(demo=False, count=lambda: num_queries, gpu=has_gpu())
    chosen = {family: choose_recipe(family, None, facts, packaged_recipes()) for family in FAMILIES}
    now = " and ".join(f"{name} ({family})" for family, name in chosen.items())
    lines = [
        "# `auto` chooses a recipe at every run, by backbone, machine and number of training queries. With",
        f"# {num_queries:,} queries and {'a' if facts.gpu else 'no'} GPU: {now}. To keep one, write its name here.",
        "# conf/README.md lists the recipes, `vixml settings --env=NAME` prints what is in force.",
        *(f"{family}_recipe: {AUTO}" for family in FAMILIES),
        "# Default networks: small pretrained ones from the Hugging Face hub. To change one, remove the `#` and give",
        "# a hub name, a local folder, or `tiny`: a small random network that needs no download (recipe `tiny`).",
        *(f"# {family}_backbone: {PROJECT_DEFAULTS[family]['backbone']['name']}" for family in FAMILIES),
        f"# vision_backbone: {PROJECT_DEFAULTS['vision']['model']}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _columns(mapping: MappingParams, data_root: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings of `prediction` that let it read queries with the columns of the mapping's."""
    queries = mapping.queries
    for name in ("delimiter", "encoding", "quoting"):
        if getattr(queries, name) is not None:
            yield name, getattr(queries, name)
    yield "id_column", queries.id or "id"
    yield "text_columns", queries.text
    if queries.images:
        yield "image_columns", queries.images
    if queries.image_folder:
        yield "images_root", f"{data_root}/{queries.image_folder}"


def _benchmark_columns(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the same for the JSON lines of a benchmark; lines of text have no columns."""
    used = {column for entry in report["ledger"]["files"] for column in entry["columns"]}
    if "title" in used:
        yield "id_column", "uid"
        yield "text_columns", [name for name in ("title", "content") if name in used]


def _write(file: Path, text: str) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _lines(params: BaseModel) -> Iterator[str]:
    """Yield a model as YAML, each field below its description."""
    for name, field in type(params).model_fields.items():
        value = getattr(params, name)
        yield f"# {' '.join((field.description or '').split())}"
        if isinstance(value, BaseModel):
            yield f"{name}:"
            for line in _lines(value):
                yield f"  {line}"
        else:
            yield f"{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a text, number, null or list of texts as YAML, which JSON is; OmegaConf's `${` is escaped."""
    return json.dumps(value, ensure_ascii=False).replace("${", "\\\\${")
