"""Run the project as `python -m vixml` or `vixml`: the same as `kedro run`, with the same options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project that the current directory belongs to.

    Raises:
        SystemExit: The current directory belongs to no Kedro project.
    """
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.startup import bootstrap_project
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    if project is None:
        sys.exit("vixml: run this inside the project's folder (the one with pyproject.toml and conf/).")
    bootstrap_project(project)
    kwargs.setdefault("standalone_mode", not hasattr(sys, "ps1"))
    return find_run_command("vixml")(*args, **kwargs)


if __name__ == "__main__":
    main()
