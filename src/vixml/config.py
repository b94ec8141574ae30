"""How the project reads its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from vixml.configuration.compose import compose

DEMO = "demo"


def store_name(runtime_dataset: str | None, runtime_root: str | None, dataset: str, root: str | None = None) -> str:
    """Return the name of the sub-folder that a data set's results live in.

    A name given on the command line wins; a raw folder given there lends its own name; then come the environment's
    `dataset` and `data_root` (globals.yml). A user's folder that is called like the demo gets another name, so that
    the demo's results are never overwritten.

    Args:
        runtime_dataset: `dataset` of the command line.
        runtime_root: `data_root` of the command line.
        dataset: `dataset` of the environment.
        root: `data_root` of the environment.
    """
    if runtime_dataset:
        return str(runtime_dataset)
    chosen = runtime_root or (root if dataset == DEMO else None)
    if not chosen:
        return str(dataset)
    name = Path(str(chosen)).expanduser().resolve().name or "root"
    return f"{name}-user" if name == DEMO else name


def raw_folder(store: str, runtime_root: str | None, root: str | None = None) -> str:
    """Return the folder of raw files: `data_root` where one is given, else the project's own."""
    chosen = runtime_root or root
    return str(Path(str(chosen)).expanduser()) if chosen else f"data/01_raw/{store}"


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, plus three resolvers and the composition of variants from families.

    Resolvers: `${store:...}` and `${raw_folder:...}` name the folders of the chosen data set, `${project_path:}` is the
    project's absolute path (a relative sqlite path would follow the current directory).
    """

    def __init__(self, conf_source: str | Path, *args: Any, **kwargs: Any) -> None:
        parent = Path(conf_source).resolve().parent
        project = parent if (parent / "pyproject.toml").is_file() else find_kedro_project(Path.cwd()) or Path.cwd()
        self._project = project.as_posix()
        super().__init__(conf_source, *args, **kwargs)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration; parameters come with complete variants."""
        # resolvers are global to the process: register this project's before each use
        OmegaConf.register_resolver("store", store_name, replace=True)
        OmegaConf.register_resolver("raw_folder", raw_folder, replace=True)
        OmegaConf.register_resolver("project_path", lambda: self._project, replace=True)
        value: dict[str, Any] = super().__getitem__(key)
        return compose(value, self.runtime_params) if key == "parameters" else value
