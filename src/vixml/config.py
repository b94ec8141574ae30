"""How the project reads its configuration."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from vixml.configuration.choice import AUTO, DEMO, DataFacts, describe_choice
from vixml.configuration.compose import compose, stack
from vixml.configuration.origins import Setting, settings_in_force
from vixml.core.errors import ConfigError
from vixml.params.data.mapping import MappingParams
from vixml.params.prediction import PredictionParams


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


def check_environment(conf_source: Path, env: str | None) -> None:
    """Make sure that an environment exists, where the configuration is a folder.

    Raises:
        ConfigError: There is none of this name; the nearest is named.
    """
    if env is None or not conf_source.is_dir() or (conf_source / env).is_dir():
        return
    known = sorted(folder.name for folder in conf_source.iterdir() if folder.is_dir() and folder.name[0] not in "._")
    nearest = difflib.get_close_matches(env, known, n=1)
    raise ConfigError(
        f"there is no environment `{env}`" + (f"; did you mean `--env={nearest[0]}`?" if nearest else ""),
        expected="a folder in conf/, one of " + ", ".join(known),
        remedy="`vixml init-data FOLDER --name=NAME` makes one for your own tables.",
    )


_PATHS = {
    "data": ("corrections",),
    "prediction": ("queries", "exclude", "allow", "deny", "images_root"),
    "label_update": ("add", "update", "remove", "image_root"),
}
"""Settings that name a file or folder."""


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, plus four resolvers, recipes, and the composition of variants from families.

    Resolvers: `${store:...}` and `${raw_folder:...}` name the folders of the chosen data set, `${project_path:}` is the
    project's absolute path (a relative sqlite path would follow the current directory), `${prediction_folder:}` is
    the folder of the setting `prediction.name`.
    """

    def __init__(self, conf_source: str | Path, *args: Any, **kwargs: Any) -> None:
        parent = Path(conf_source).resolve().parent
        project = parent if (parent / "pyproject.toml").is_file() else find_kedro_project(Path.cwd()) or Path.cwd()
        self._project = project.as_posix()
        check_environment(Path(conf_source), kwargs.get("env"))
        self._merged_parameters: tuple[str, dict[str, Any]] | None = None
        super().__init__(conf_source, *args, **kwargs)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration; parameters come with complete variants."""
        self._register_resolvers()
        if key != "parameters":
            value: dict[str, Any] = super().__getitem__(key)
            return value
        parameters = self._parameters()
        return self._absolute(compose(parameters, self.runtime_params, facts=self.facts(parameters)))

    def _parameters(self) -> dict[str, Any]:
        """Return the merged parameters of files and command line, before variants are composed from them.

        A run asks four times, and reading and merging the files is the dearest part of its start: it is done once.
        """
        asked = repr(self.runtime_params)
        if self._merged_parameters is None or self._merged_parameters[0] != asked or "parameters" in self:
            self._merged_parameters = (asked, super().__getitem__("parameters"))
        return copy.deepcopy(self._merged_parameters[1])

    def _absolute(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return parameters whose files are absolute: like `data_root` they are relative to the project's folder."""
        for section, names in _PATHS.items():
            for holder in (parameters, *(group for group in parameters.values() if isinstance(group, dict))):
                group = holder.get(section)
                if isinstance(group, dict):
                    chosen = {name: group[name] for name in names if isinstance(group.get(name), str)}
                    holder[section] = {**group, **{name: self._inside(path) for name, path in chosen.items()}}
        return parameters

    def _inside(self, path: str) -> str:
        return (Path(self._project) / Path(path).expanduser()).as_posix()

    def facts(self, parameters: Mapping[str, Any]) -> DataFacts:
        """Return what the choice of a recipe needs to know of the chosen data and of this machine.

        Args:
            parameters: The merged configuration.
        """
        from vixml.core.accelerator import has_gpu

        store = str(parameters.get("dataset", DEMO))
        raw = Path(self._project) / raw_folder(store, parameters.get("data_root"))
        ingested = Path(self._project) / "data" / "03_primary" / store / "dataset" / "items_train.parquet"
        mapping = (parameters.get("data") or {}).get("mapping")
        return DataFacts(
            demo=holds_demo(raw, ingested, store),
            count=lambda: _count_queries(raw, ingested, mapping),
            gpu=has_gpu(),
        )

    def settings(self) -> list[Setting]:
        """Return every setting in force with its origin."""
        self._register_resolvers()
        parameters = self._parameters()
        runtime = self.runtime_params or {}
        names, stacks = stack(parameters, runtime, facts=self.facts(parameters))
        base, environment, *_ = self._read_raw_config("parameters")
        files: dict[str, Any] = {}
        for file, content in (*base.items(), *environment.items()):
            shown = file.relative_to(self._project) if file.is_relative_to(self._project) else file
            files[shown.as_posix()] = OmegaConf.to_container(content)
        return settings_in_force(parameters, runtime, names, stacks, files)

    def describe_recipes(self, families: Iterable[str]) -> str:
        """Return one line that says which recipes these families take, why, and how to choose others."""
        self._register_resolvers()
        parameters = self._parameters()
        facts = self.facts(parameters)
        names, _ = stack(parameters, self.runtime_params or {}, facts=facts)
        chosen = {family: names[family] for family in families}
        automatic = any(parameters.get(f"{family}_recipe") == AUTO for family in chosen)
        return describe_choice(chosen, facts if automatic else None)

    def _register_resolvers(self) -> None:
        """Register this project's resolvers, which are global to the process, before each use."""
        OmegaConf.register_resolver("store", store_name, replace=True)
        OmegaConf.register_resolver("raw_folder", raw_folder, replace=True)
        OmegaConf.register_resolver("project_path", lambda: self._project, replace=True)
        OmegaConf.register_resolver("prediction_folder", self._prediction_folder, replace=True)

    def _prediction_folder(self) -> str:
        section = self._parameters().get("prediction") or {}
        try:
            return PredictionParams(name=section.get("name", "")).folder
        except ValueError:  # Kedro's validation of the parameters says what is wrong with it
            return PredictionParams().folder


def holds_demo(raw: Path, ingested: Path, store: str) -> bool:
    """Return whether the chosen data are the demo's: a catalogue that `fabrication` wrote, or is about to write.

    A folder of raw files that is missing or empty can only be filled by `fabrication`, unless its data were ingested
    before and the raw files then moved away.

    Args:
        raw: The folder of raw files.
        ingested: Where the ingested training items are.
        store: Name of the data set.
    """
    from vixml.core.directories import MANIFEST
    from vixml.datasets.raw_folder import RAW_KIND

    if raw.is_dir() and any(raw.iterdir()):
        try:
            return bool(json.loads((raw / MANIFEST).read_text(encoding="utf-8")).get("kind") == RAW_KIND)
        except (OSError, ValueError, AttributeError):
            return False
    return store == DEMO or not ingested.is_file()


def _count_queries(raw: Path, ingested: Path, mapping: Any) -> int | None:
    """Return the number of training queries of the raw files, or of the ingested ones where those are gone."""
    from vixml.ingestion.size import count_training_queries

    if raw.is_dir():
        try:
            tables = None if mapping is None else MappingParams.model_validate(mapping)
        except ValueError:  # Kedro's validation of the parameters says what is wrong with it
            return None
        return count_training_queries(raw, tables)
    if ingested.is_file():
        from pyarrow import parquet

        return int(parquet.read_metadata(ingested).num_rows)
    return None
