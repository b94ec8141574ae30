"""The process of one rank: `python -m vixml.distributed.worker [FOLDER]`, started by `launch` or `torchrun`."""

from __future__ import annotations

import sys
from pathlib import Path

from vixml.distributed import group
from vixml.distributed.rank import joined


def main(given: Path | None) -> None:
    """Run a job as one of its ranks; the leader writes down the result.

    Args:
        given: The job's folder; None on a machine that only joins in.
    """
    with joined(given) as folder:
        from vixml.distributed.job import run_job, write_result

        value = run_job(folder)
        if group.leads():
            write_result(folder, value)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
