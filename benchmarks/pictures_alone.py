"""Pictures alone: a copy of a raw folder in which one word stands for every query's text, so that only images differ.

python -m benchmarks.pictures_alone --raw RAW --out RAW-pictures
kedro run --pipeline=study --params "data_root=RAW-pictures,..."
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.hold_out import write_json_lines
from vixml.core.errors import ConfigError
from vixml.data.sides import SHORT_NAMES, Side
from vixml.ingestion.benchmark.json_lines import read_json_lines
from vixml.ingestion.benchmark.layouts import find_raw_file


def blank_queries(raw: Path, target: Path, *, word: str = "picture") -> int:
    """Write a raw folder whose queries have no text of their own; labels, images and filters are linked.

    Args:
        raw: Raw folder of the benchmark's format.
        target: New folder.
        word: What stands for every query's title; the content is left empty.

    Returns:
        The number of queries.

    Raises:
        ConfigError: The folder exists already.
        DataError: A raw file is missing or malformed.
    """
    if target.exists():
        raise ConfigError("the folder exists already", file=target, remedy="remove it, or name another.")
    count = 0

    def blanked(file: Path) -> Iterator[dict[str, Any]]:
        nonlocal count
        for _, item in read_json_lines(file):
            count += 1
            yield {**item, "title": word, "content": ""}

    files = {side: find_raw_file(raw, side) for side in (Side.TRAIN, Side.TEST)}
    target.mkdir(parents=True)
    for side, file in files.items():
        write_json_lines(target / f"{SHORT_NAMES[side]}.json.gz", blanked(file))
    for other in raw.iterdir():
        if other not in files.values():
            (target / other.name).symlink_to(other.resolve(), target_is_directory=other.is_dir())
    return count


def main() -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--word", default="picture")
    args = parser.parse_args()
    print(f"{blank_queries(args.raw, args.out, word=args.word)} queries in {args.out}")


if __name__ == "__main__":
    main()
