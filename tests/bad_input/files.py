"""Raw files of six points and three labels, and pictures, to be spoilt by a test."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams

POINTS = [
    {"uid": f"p{n}", "title": f"red shoe {n}", "content": "", "target_ind": [n % 3], "target_rel": [1.0]}
    for n in range(6)
]
LABELS = [{"uid": f"l{n}", "title": f"label {n}", "content": ""} for n in range(3)]


def lines(items: list[Any]) -> str:
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items)


def write_raw(root: Path, *, trn: list[Any] | None = None, tst: Any = None, lbl: list[Any] | None = None) -> Path:
    for name, items in (("trn", trn or POINTS), ("tst", tst or POINTS[:2]), ("lbl", lbl or LABELS)):
        (root / f"{name}.json").write_text(lines(items), encoding="utf-8")
    return root


def second(**fields: Any) -> list[Any]:
    """Three points, the second of them changed."""
    changed = {key: value for key, value in {**POINTS[1], **fields}.items() if value is not ...}
    return [POINTS[0], changed, POINTS[2]]


def repairs(root: Path, **params: Any) -> dict[str, Any]:
    return ingest(root, DataParams(**params), 0).report["repairs"]


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()
